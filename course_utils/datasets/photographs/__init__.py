"""Folders and archives of photographs, decoded once into an array of small pictures.

Nothing here imports torch: the processes that decode start quickly and stay small.
"""
