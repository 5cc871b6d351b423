"""The numbers of a decoder-only transformer that decide its size, under config.json's own names."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Count = Annotated[int, Field(gt=0, strict=True)]

ArchitectureName = Literal[
    "Gemma3ForCausalLM",
    "Gemma3ForConditionalGeneration",
    "LlamaForCausalLM",
    "MistralForCausalLM",
    "Phi3ForCausalLM",
    "Qwen2ForCausalLM",
]

# For these an environment needs torchvision, which their image processors import.
TAKE_PICTURES = frozenset({"Gemma3ForConditionalGeneration"})


class Architecture(BaseModel):
    """The shape that sizing counts with; the checkpoint's config.json must say the same before anything starts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ArchitectureName = Field(description="the class in config.json's `architectures`")
    hidden_size: Count = Field(description="a positive whole number")
    intermediate_size: Count = Field(description="a positive whole number")
    num_hidden_layers: Count = Field(description="a positive whole number")
    num_attention_heads: Count = Field(description="a positive whole number")
    num_key_value_heads: Count = Field(description="a positive whole number")
    head_dim: Count = Field(description="a positive whole number")
    vocab_size: Count = Field(description="a positive whole number")
    max_position_embeddings: Count = Field(description="the longest context the checkpoint was made for")
    tie_word_embeddings: bool = Field(False, strict=True, description="true or false")
    sliding_window: Count | None = Field(None, description="tokens that a windowed layer looks back")
    full_attention_layers: Annotated[int, Field(ge=0, strict=True)] | None = Field(
        None, description="how many layers look back over everything, where others are windowed"
    )
    vision_parameters: Annotated[int, Field(ge=0, strict=True)] = Field(
        0, description="parameters of the image tower and its projection"
    )

    @property
    def sliding_layers(self) -> int:
        """Layers whose KV cache stops growing at the window."""
        if self.sliding_window is None:
            return 0
        return self.num_hidden_layers - (self.full_attention_layers or 0)

    @property
    def takes_pictures(self) -> bool:
        """Whether a message may hold pictures."""
        return self.name in TAKE_PICTURES

    @property
    def linear_parameters(self) -> int:
        """Weights of the attention and MLP projections: what int4 checkpoints store in 4 bits."""
        query = self.num_attention_heads * self.head_dim
        key_value = self.num_key_value_heads * self.head_dim
        attention = self.hidden_size * (query + 2 * key_value) + query * self.hidden_size
        return self.num_hidden_layers * (attention + 3 * self.hidden_size * self.intermediate_size)

    @property
    def embedding_parameters(self) -> int:
        """Weights of the token embedding and, where it is not the same tensor, of the output head."""
        return self.vocab_size * self.hidden_size * (1 if self.tie_word_embeddings else 2)

    @property
    def small_parameters(self) -> int:
        """Norms and biases. Per architecture, as in the published checkpoints' tensor lists."""
        per_layer = 2 * self.hidden_size
        if self.name.startswith("Gemma3"):  # norms before and after both blocks, and of queries and keys
            per_layer = 4 * self.hidden_size + 2 * self.head_dim
        if self.name == "Qwen2ForCausalLM":  # biases on q, k and v
            per_layer += (self.num_attention_heads + 2 * self.num_key_value_heads) * self.head_dim
        return self.num_hidden_layers * per_layer + self.hidden_size

    @property
    def parameters(self) -> int:
        """Every parameter of the checkpoint."""
        return self.linear_parameters + self.embedding_parameters + self.small_parameters + self.vision_parameters
