"""The router under study: estimates, few images, close products, confidence, unknown products, errors."""

from moleflow_lib.studies.routing.calibration import calibration_rows
from moleflow_lib.studies.routing.close_calls import CloseCall, close_call_rows, close_calls
from moleflow_lib.studies.routing.cost import misrouted_cost, wrong_route_cost
from moleflow_lib.studies.routing.images import RouterImages, router_images
from moleflow_lib.studies.routing.number_of_tasks import accuracy_by_task_count
from moleflow_lib.studies.routing.sample_size import accuracy_by_sample_size, enough_images
from moleflow_lib.studies.routing.similarity import pair_curves, pair_rows, reserve_rows
from moleflow_lib.studies.routing.small_task import small_task_rows
from moleflow_lib.studies.routing.unknown import unknown_rows
from moleflow_lib.studies.routing.variants import RoutingCase, routing_cases, study_routers

__all__ = [
    "CloseCall",
    "RouterImages",
    "RoutingCase",
    "accuracy_by_sample_size",
    "accuracy_by_task_count",
    "calibration_rows",
    "close_call_rows",
    "close_calls",
    "enough_images",
    "misrouted_cost",
    "pair_curves",
    "pair_rows",
    "reserve_rows",
    "router_images",
    "routing_cases",
    "small_task_rows",
    "study_routers",
    "unknown_rows",
    "wrong_route_cost",
]
