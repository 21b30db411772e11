"""Reading XML label files, without what XML can do to its reader."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

from posewright.errors import PosewrightError

_CHUNK = 1 << 16


class _Declares(Exception):
    """The file has a document type, where entities are declared."""


class _Builder(ElementTree.TreeBuilder):
    def doctype(self, name: str, pubid: str | None, system: str | None) -> None:
        # Asked of the parser, not of the bytes: in UTF-16 or EBCDIC "<!DOCTYPE" looks different.
        raise _Declares


def load_xml(path: Path) -> ElementTree.Element:
    """The root element of an XML file.

    Labels need no document type, and its entities could blow up to gigabytes or name other files: one is refused.

    Raises:
        PosewrightError: where the file cannot be read, declares a document type or is not XML, with line and column.
    """
    parser = ElementTree.XMLParser(target=_Builder())
    try:
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                parser.feed(chunk)
        root: ElementTree.Element = parser.close()
    except OSError as error:
        raise PosewrightError(error.strerror or "cannot be read", file=path) from None
    except _Declares:
        raise PosewrightError("declares entities, which labels have no need of", file=path) from None
    except (ElementTree.ParseError, ValueError, LookupError) as error:  # the last for an unknown encoding
        raise PosewrightError(f"is not XML: {error}", file=path) from None
    return root
