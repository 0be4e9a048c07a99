"""Entries of section `datasets` as plain data."""


def describe_dataset(name, *sources):
    """Describe a data set in MVTec's layout, free of terms, whose photographs are taken whole.

    Args:
        name: Its name at a mirror.
        sources: Folders or addresses, without checksums.
    """
    return {
        "layout": "folder",
        "sources": [{"url": str(source), "sha256": None} for source in sources],
        "mirror_names": [name],
        "terms": None,
        "licence": "CC0",
        "licence_url": "https://example.org",
        "non_commercial": False,
        "foreground": "full",
    }
