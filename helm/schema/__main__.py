"""`python -m helm.schema`: writes the chart's values.schema.json."""

from helm.schema.written import FILE, text


def main() -> None:
    """Write the file if its text has changed, and print its name."""
    same = FILE.is_file() and FILE.read_text(encoding="utf-8") == text()
    if not same:
        FILE.write_text(text(), encoding="utf-8")
    print(f"{'same   ' if same else 'written'} {FILE}")


if __name__ == "__main__":
    main()
