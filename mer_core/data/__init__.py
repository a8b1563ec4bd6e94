"""Manifests, folders, label spellings, splits and folds: from a table of clips to what is trained on what."""
