"""The first look of every `dvc repro`: has the source of the data changed, and can all settings be read?"""
