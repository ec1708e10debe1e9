"""Named configurations, as data: what each sets against the defaults of `ExperimentConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["PRESETS", "REASONS"]

_PARTS_OUT = "lora_rank=0; dia_blocks=0; tail_weight=0; coupling_layers=0; use_position=false"
_PUBLISHED_ABLATIONS = (  # the parts taken out, and the settings that the public record speaks of
    f"{_PARTS_OUT}; use_mixer=false; whitening=off|full; use_task_bias=false; identity_weight=0; "
    "log_det_penalty=1e-4;coupling_layers=4|12|16; lora_rank=16|32|128; lora_alpha=64; "
    "count_adapter_volume=true; tail_scope=image; top_k=1|10;router_covariance=tied|ledoit_wolf; "
    "smoothing_sigma=0; lr=1e-3, schedule=cosine, clip_norm=0.5, tail_scope=image"
)
_RECOMMENDED_ABLATIONS = (  # departures put back, parts and score parts taken out, other settings
    "block_norm=false; damaged_copies=0; whitening=layer_norm, score_parts=flow,memory; coupling_layers=8; "
    "lora_rank=64; lr=1e-4|1e-3; steps=0; patch_share=1; score_parts=flow, image_parts=none; "
    "image_parts=none; median_share=0; compress_scores=false; prototype_weight=0; router_covariance=ridge; "
    f"{_PARTS_OUT}; use_mixer=false; score_parts=flow,gaussian, image_parts=flow; score_parts=flow,memory; "
    "score_parts=gaussian,memory, image_parts=memory; score_parts=gaussian,memory, image_parts=none; "
    "score_parts=gaussian, image_parts=none; score_parts=memory, image_parts=none; "
    "damaged_copies=64|1024; steps=100|400; log_det_weight=0; "
    "log_det_penalty=1e-4; memory_size=256; top_k=1|10; smoothing_sigma=8; overlap=2"
)

PRESETS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "v5_final": MappingProxyType({"ablations": _PUBLISHED_ABLATIONS}),
        # Every departure from v5_final has its reason in REASONS and its row in notebook 05.
        "recommended": MappingProxyType(
            {
                "block_norm": True,
                "damaged_copies": 256,
                "whitening": "full",
                "coupling_layers": 2,
                "lora_rank": 4,
                "lr": 3e-4,
                "steps": 200,
                "patch_share": 0.25,
                "score_parts": ("flow", "gaussian", "memory"),
                "image_parts": ("flow", "memory"),
                "median_share": 0.5,
                "compress_scores": True,
                "prototype_weight": 0.3,
                "router_covariance": "tied",
                "ablations": _RECOMMENDED_ABLATIONS,
            }
        ),
        # Small enough for two cores and a few minutes; the backbone needs no weights. Chosen on sets drawn
        # with seeds 1 to 3, never on seed 0, which the demo is scored on. Features of the filter bank are far
        # from Gaussian: there a flow that learns fast adds much to the whitening, and joins the image score.
        "demo": MappingProxyType(
            {
                "classes": ("leather", "grid", "nut", "board"),
                "backbone": "filterbank",
                "control_backbone": "random:vit_tiny_patch16_224",
                "blocks": (1, 3, 5),  # of the control, which knows no more the deeper it is
                "whitening": "full",
                "coupling_layers": 2,
                "use_mixer": False,
                "lora_rank": 16,
                "lora_alpha": 16.0,
                "steps": 60,
                "patch_share": 0.25,
                "lr": 1e-2,
                "schedule": "cosine",
                "clip_norm": 0.5,
                "tail_scope": "image",
                "score_parts": ("flow", "memory"),
                "median_share": 0.5,
                "compress_scores": True,
                "prototype_weight": 0.3,
                "router_covariance": "tied",
                "baselines": ("memory_bank", "gaussian", "padim", "fine_tune"),
                "ablations": "whitening=layer_norm; lora_rank=0; dia_blocks=0; coupling_layers=0; "
                "tail_weight=0; score_parts=flow; score_parts=memory",
                "ablation_classes": ("grid", "nut"),
                "ablation_orders": ("nut>grid",),
            }
        ),
    }
)

# why `recommended` sets an option otherwise than `v5_final`
REASONS: Mapping[str, str] = MappingProxyType(
    {
        "block_norm": "Blocks of a vision transformer differ in scale by a large factor, so their plain mean "
        "is mostly the last one.",
        "damaged_copies": "Attention lets intact patches see a defect beside them. Copies with damage drawn "
        "onto them say how such patches look, before any defect has been seen.",
        "whitening": "LayerNorm leaves the covariance over patches as it is. With full whitening every task "
        "enters the shared flow with mean 0 and covariance I, so the flow starts at a Gaussian "
        "instead of learning one.",
        "coupling_layers": "Behind full whitening more blocks detect no better and cost more.",
        "lora_rank": "Low-rank updates do no good that could be measured; rank 4 keeps the part at a "
        "sixteenth of its values.",
        "steps": "The same training for every task, whatever its number of images; trained longer, the flow "
        "localises worse.",
        "patch_share": "A quarter of the grid, drawn anew each step: a quarter of the time, no loss seen.",
        "lr": "At the published rate 200 steps leave the flow near where the whitening put it.",
        "score_parts": "The flow's likelihood, the Gaussian energy and the stored patches err in different "
        "places. Equal shares, so nothing is tuned.",
        "image_parts": "The Gaussian energy helps to say where a defect is, and not whether there is one.",
        "median_share": "What lifts a whole image, such as light, says little about where a defect is.",
        "compress_scores": "In a smoothed map one extreme patch drowns its neighbours; the logarithm keeps "
        "their order.",
        "prototype_weight": "A defect that moves many patches a little stays below each one's threshold and "
        "still moves the mean.",
        "router_covariance": "The published ridge puts tasks with unlike numbers of images on unlike scales; "
        "one pooled covariance treats all alike.",
    }
)
