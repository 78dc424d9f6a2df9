"""A folder of results as one HTML file: read, laid out as a document of sections, and put into a page."""

from t3sim.report.html.document import build
from t3sim.report.html.material import Material, read_material
from t3sim.report.html.page import page

__all__ = ["Material", "build", "page", "read_material"]
