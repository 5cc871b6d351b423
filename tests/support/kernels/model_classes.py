"""Let vLLM look at the classes of models, and keep what it finds in its cache.

    python model_classes.py CACHE ARCHITECTURE...     CACHE is to be VLLM_CACHE_ROOT later

vLLM imports each class once in a process of its own. That takes seconds here and minutes where this cache is used: in
an emulated machine, whose vLLM has the same Python files. The cache knows them by their contents.
"""

import os
import sys

os.environ["VLLM_CACHE_ROOT"] = sys.argv[1]

from vllm.model_executor.models.registry import ModelRegistry  # reads the environment

for architecture in sys.argv[2:]:
    ModelRegistry.models[architecture].inspect_model_cls()
