"""The scale of the scores of a trained model, set by the normal images that calibrated its threshold."""

from pydantic import Field

from diffusionad.section import Section


class ScoreScale(Section):
    """The normal images behind the threshold of a model, as model.json holds them."""

    normal_scores: tuple[float, ...] = Field(
        min_length=1, description="raw scores, in [0, 1] and rising, of all normal images that calibrated the threshold"
    )
