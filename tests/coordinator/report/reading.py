"""A report and a page of benchmarks as a reader sees them."""

from html.parser import HTMLParser

VOID = {"meta", "img", "source", "br"}


class Reading(HTMLParser):
    """Text by section, tags with their attributes, and a check that every tag is closed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.section = "header"
        self.text: dict[str, list[str]] = {}
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "section":
            self.section = dict(attrs)["id"] or ""
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.text.setdefault(self.section, []).append(" ".join(data.split()))

    def words(self, section: str) -> str:
        return " | ".join(self.text[section])


def table_rows(page: str) -> list[list[str]]:
    """Cells of every row of the tables of a Markdown page, heads included, without the rules below them."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in page.splitlines() if line[:1] == "|"]
    return [row for row in rows if not row[0].startswith("---")]
