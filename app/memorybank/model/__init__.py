"""The files of the built-in embedding model: making, checking and finding them.

The model is all-MiniLM-L6-v2 (Apache-2.0), quantised to int8. It is made once from the published
weights, in an image build or on first use, and is then a folder of four files that needs neither
`onnx` nor the weights.
"""

from memorybank.model.locate import locate
from memorybank.model.manifest import MODEL_NAME, ModelFiles, open_model
from memorybank.model.prepare import prepare

__all__ = ["MODEL_NAME", "ModelFiles", "locate", "open_model", "prepare"]
