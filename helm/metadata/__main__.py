"""`python -m helm.metadata`: writes the chart's README and the icon in Chart.yaml."""

from helm.files import write
from helm.metadata.written import texts

if __name__ == "__main__":
    write(texts())
