from tests.a_run import run_file, tiny_model  # noqa: F401 fixtures
