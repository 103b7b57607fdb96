"""Metadata of pyxs: setuptools for Python 3.6 reads it nowhere else."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).resolve().parent


def text(name):
    return (HERE / name).read_text(encoding="utf-8")


setup(
    name="pyxs",
    version=re.search(r'^__version__ = "(.+)"$', text("pyxs/__init__.py"), re.MULTILINE).group(1),
    description="XenStore client in pure Python, with an in-memory xenstored to run and test on",
    long_description=text("README.rst"),
    long_description_content_type="text/x-rst",
    author="The authors of pyxs",
    license="LGPL-3.0-or-later",
    keywords="xen xenstore xenstored xenbus virtualization dom0",
    classifiers=[
        "Development Status :: 5 - Production/Stable",
        "Intended Audience :: Developers",
        "Intended Audience :: System Administrators",
        "Operating System :: POSIX",
        "Operating System :: POSIX :: Linux",
        "Programming Language :: Python :: 3",
        "Programming Language :: Python :: 3 :: Only",
        "Programming Language :: Python :: 3.6",
        "Programming Language :: Python :: 3.7",
        "Programming Language :: Python :: 3.8",
        "Programming Language :: Python :: 3.9",
        "Programming Language :: Python :: 3.10",
        "Programming Language :: Python :: 3.11",
        "Programming Language :: Python :: 3.12",
        "Programming Language :: Python :: 3.13",
        "Programming Language :: Python :: 3.14",
        "Programming Language :: Python :: 3.15",
        "Programming Language :: Python :: Implementation :: CPython",
        "Framework :: Pytest",
        "Topic :: Software Development :: Libraries :: Python Modules",
        "Topic :: System :: Emulators",
        "Topic :: System :: Systems Administration",
        "Typing :: Typed",
    ],
    python_requires=">=3.6",
    packages=find_packages(include=["pyxs", "pyxs.*"]),
    package_data={"pyxs": ["py.typed"], "pyxs._cli": ["completion.*"]},
    entry_points={
        "console_scripts": ["pyxs = pyxs.cli:command"],
        "pytest11": ["pyxs = pyxs.pytest_plugin"],
    },
    extras_require={
        "test": [
            "gevent; python_version >= '3.9' and python_version < '3.14'",
            "hypothesis",
            "pytest",
            "pytest-timeout",
            "shtab==1.13.0; python_version >= '3.11' and python_version < '3.12'",
        ]
    },
    zip_safe=False,
)
