"""`python -m helm.metadata`: writes the chart's README and the icon in Chart.yaml."""

from helm.metadata.written import texts


def main() -> None:
    """Write the files whose text has changed, and print their names."""
    for path, text in texts().items():
        same = path.read_text(encoding="utf-8") == text
        if not same:
            path.write_text(text, encoding="utf-8")
        print(f"{'same   ' if same else 'written'} {path}")


if __name__ == "__main__":
    main()
