"""Data sets: native layout -> manifest, file -> array. The only room where value ranges and sizes of images change."""
