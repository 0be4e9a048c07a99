"""Code that several stages share: device choice, contact sheets, stored synthetic sets, entries of `datasets`."""
