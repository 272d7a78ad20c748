"""The router that all view sets are registered with."""

from rest_framework.routers import DynamicRoute, Route, SimpleRouter


class Router(SimpleRouter):
    """Makes the addresses of a view set, with typed parameters, and names them in one way.

    `api_training_runs` is the list, `api_training_runs_detail` one row, and `api_training_runs_cancel` an
    action on it.
    """

    routes = [
        Route(
            url="{prefix}{trailing_slash}",
            mapping={"get": "list", "post": "create"},
            name="{basename}",
            detail=False,
            initkwargs={},
        ),
        DynamicRoute(
            url="{prefix}/{url_path}{trailing_slash}",
            name="{basename}_{url_name}",
            detail=False,
            initkwargs={},
        ),
        Route(
            url="{prefix}/{lookup}{trailing_slash}",
            mapping={"get": "retrieve", "delete": "destroy"},
            name="{basename}_detail",
            detail=True,
            initkwargs={},
        ),
        DynamicRoute(
            url="{prefix}/{lookup}/{url_path}{trailing_slash}",
            name="{basename}_{url_name}",
            detail=True,
            initkwargs={},
        ),
    ]

    def __init__(self) -> None:
        super().__init__(use_regex_path=False)
