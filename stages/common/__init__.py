"""What several stages share: devices, sheets of pictures, stored synthetic sets, entries of data sets."""
