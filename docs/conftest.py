"""The pages' snippets run as doctests, each page in an empty folder that they may fill."""

import pytest


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
