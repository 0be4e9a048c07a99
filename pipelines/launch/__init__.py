"""Starting flows: the servers and processes that they need."""
