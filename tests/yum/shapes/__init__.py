"""All shapes, by name."""

from tests.yum.shapes import extras, fields, hostile, locations, packing, presence, servers
from tests.yum.shapes.shape import Expect, Shape

__all__ = ["SECTIONS", "SHAPES", "Expect", "Shape"]

SECTIONS = {
    "Which documents there are": presence.SHAPES,
    "How they are packed": packing.SHAPES,
    "Packages with odd fields": fields.PACKAGES,
    "Changelogs": fields.CHANGELOGS,
    "Advisories": fields.ADVISORIES,
    "Package groups": extras.COMPS,
    "Metadata that is carried, or dropped on purpose": extras.CARRIED,
    "Installable trees": extras.TREES,
    "Signatures": extras.SIGNED,
    "Where packages and metadata are": locations.PLACES,
    "Names of files": locations.NAMES,
    "Feeds": locations.FEEDS,
    "Places that are refused": locations.ELSEWHERE,
    "repomd.xml": servers.REPOMD,
    "Servers": servers.SERVERS,
    "Harm": hostile.SHAPES,
}
SHAPES = {shape.name: shape for shapes in SECTIONS.values() for shape in shapes}
assert len(SHAPES) == sum(map(len, SECTIONS.values())), "two shapes have one name"
