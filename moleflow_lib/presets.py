"""Named configurations, as data: what each sets against the defaults of `ExperimentConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

__all__ = ["PRESETS"]

PRESETS: Mapping[str, Mapping[str, object]] = MappingProxyType(
    {
        "v5_final": MappingProxyType({}),
        # Every departure from v5_final has its reason in ablation/departures.py and its row in notebook 05. Options were
        # tried on bottle, magnetic tile, toothbrush and solar cell images with an ImageNet ViT-Tiny, seeds 0 and 1;
        # the last ones also on four drawn products (drawing seed 5).
        "recommended": MappingProxyType(
            {
                "block_norm": True,
                "coupling_layers": 2,
                "lora_rank": 16,
                "lora_alpha": 16.0,
                "whitening_norm": False,
                "count_adapter_volume": True,
                "steps": 300,
                "lr": 1e-3,
                "schedule": "cosine",
                "clip_norm": 0.5,
                "tail_scope": "image",
                "feature_noise": 0.3,
                "patch_share": 0.5,
                "memory_size": 1024,
                "memory_neighbours": 3,
                "memory_weight": 0.7,
                "compress_scores": True,
                "prototype_weight": 0.3,
                "router_covariance": "tied",
                "ablation_switches": (
                    # departures from v5_final, put back
                    "no block norm", "8 blocks", "published LoRA", "LoRA alpha 1", "LayerNorm in the whitening",
                    "volume left out", "40 epochs", "lr 1e-4", "constant rate", "no clipping", "tail per batch", "no noise",
                    "all patches", "no stored patches", "nearest stored patch", "evenly", "linear scores", "patches alone",
                    "router ridge",
                    # parts taken out
                    "stored patches alone", "no LoRA", "no DIA", "no mixer", "no whitening", "no tail loss", "DIA alone",
                    # leads: representation
                    "even blocks", "448 pixels",
                    "overlapping patches", "position at a tenth",
                    # leads: flow
                    "4 blocks", "rank 4",
                    # leads: training
                    "150 steps", "600 steps", "tail 0.7", "log-det penalty",
                    "noise 0.1", "noise 0.5",
                    # leads: score
                    "256 stored patches", "half the log-det", "energy alone", "mostly the flow",
                    "half prototype", "top-1", "top-10", "smoothing 8",
                ),
            }
        ),
        # Small enough for two cores and a few minutes; the backbone needs no weights. Learning rate, depth
        # and epochs were chosen on sets drawn with seeds 1 to 3, never on seed 0, which the demo is scored on.
        "demo": MappingProxyType(
            {
                "classes": ("leather", "grid", "nut", "board"),
                "backbone": "filterbank",
                "control_backbone": "random:vit_tiny_patch16_224",
                "coupling_layers": 4,
                "lora_rank": 16,
                "lora_alpha": 16.0,
                "dia_blocks": 4,
                "epochs": 36,
                "batch_size": 8,
                "lr": 3e-3,
                "schedule": "cosine",
                "clip_norm": 0.5,
                "tail_scope": "image",
                "ablation_switches": (
                    "no whitening", "no mixer", "no LoRA", "no DIA", "no tail loss", "top-1", "top-10",
                ),
                "ablation_classes": ("grid", "nut"),
                "ablation_orders": ("nut>grid",),
                "ablation_seeds": (0, 1, 2),
                "ablation_epochs": 8,
            }
        ),
    }
)
