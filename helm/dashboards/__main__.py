"""`python -m helm.dashboards`: writes every dashboard into the chart's folder."""

from helm.dashboards.written import FOLDER, texts
from helm.files import write

if __name__ == "__main__":
    FOLDER.mkdir(parents=True, exist_ok=True)
    write({FOLDER / name: text for name, text in texts().items()})
