"""Where the packages of the wheel are: the engine, and the dashboard below one name of its own."""

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

DASHBOARD = "palm_dashboard"
ROOMS = ("app", "pages", "portfolios")


class Build(build_py):  # type: ignore[misc]
    """Leaves this file out of the dashboard, whose settings lie beside it."""

    def find_package_modules(self, package: str, package_dir: str) -> list[tuple[str, str, str]]:
        modules = super().find_package_modules(package, package_dir)
        return [] if package == DASHBOARD else modules


packages = [*find_packages(include=["palm_engine", "palm_engine.*"]), DASHBOARD]
package_dir = {DASHBOARD: "."}
for room in ROOMS:
    inside = [room, *(f"{room}.{name}" for name in find_packages(room))]
    packages += [f"{DASHBOARD}.{name}" for name in inside]
    package_dir[f"{DASHBOARD}.{room}"] = room
packages.append(f"{DASHBOARD}.portfolios.demo")

setup(packages=packages, package_dir=package_dir, cmdclass={"build_py": Build})
