"""Find the packages: the folders beside `swin_dense` are installed inside it (`package_dir`)."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["swin_dense", "swin_dense.*"]),
        *(
            f"swin_dense.{package}"
            for folder in ("heads", "datasets", "tools")
            for package in find_packages(include=[folder, f"{folder}.*"])
        ),
    ]
)
