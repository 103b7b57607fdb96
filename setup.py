"""Metadata of pyxs; here and not in pyproject.toml because setuptools for Python 3.6 reads it nowhere else."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
INIT = (HERE / "pyxs" / "__init__.py").read_text(encoding="utf-8")

setup(
    name="pyxs",
    version=re.search(r'^__version__ = "(.+)"$', INIT, re.MULTILINE).group(1),
    python_requires=">=3.6",
    packages=find_packages(include=["pyxs", "pyxs.*"]),
    package_data={"pyxs": ["py.typed"]},
)
