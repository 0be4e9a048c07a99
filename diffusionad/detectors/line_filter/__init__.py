"""A filter for dark lines, which learns nothing but its scale."""
