"""Built-in question packs and personas."""

from beacon.packs.library import load_pack, load_personas, names

__all__ = ["load_pack", "load_personas", "names"]
