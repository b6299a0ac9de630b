"""`python -m helm.dashboards`: writes every dashboard into the chart's folder."""

from helm.dashboards.written import FOLDER, texts


def main() -> None:
    """Write the files whose text has changed, and print their names."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in texts().items():
        path = FOLDER / name
        same = path.is_file() and path.read_text(encoding="utf-8") == text
        if not same:
            path.write_text(text, encoding="utf-8")
        print(f"{'same   ' if same else 'written'} {path}")


if __name__ == "__main__":
    main()
