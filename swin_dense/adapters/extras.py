"""Libraries that only an adapter needs: one line says which is missing and how to get it."""


def missing_extra(error: ModuleNotFoundError, *, what: str, extra: str) -> ModuleNotFoundError:
    """The error to raise for a library that cannot be imported.

    Args:
        error: of the import.
        what: needs the library.
        extra: of this package, that installs it.

    Returns:
        An error that says what to install.
    """
    library = (error.name or extra).partition(".")[0]
    return ModuleNotFoundError(
        f"{what} needs {library}, which is not installed; pip install 'swin-dense[{extra}]'",
        name=library,
    )
