"""`python -m helm.schema`: writes the chart's values.schema.json."""

from helm.files import write
from helm.schema.written import FILE, text

if __name__ == "__main__":
    write({FILE: text()})
