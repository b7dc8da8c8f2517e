"""Every cause of the design's table with its finder, in order of the path that audio takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from capfix_cli.diagnosis.finders import (
    conditioning_attention,
    conditioning_first,
    conditioning_ignored,
    decoder_blind,
    decoder_overconfident,
    decoder_undertrained,
    decoding_search,
    encoder_collapsed,
    encoder_pooling,
    evaluation_batch,
    evaluation_mode,
    evaluation_padding,
    input_duplicates,
    input_rate,
    input_scale,
    input_silent,
    training_data,
    training_exposure,
    vocabulary_mismatch,
    vocabulary_special,
    weights_missing,
    weights_untrained,
)
from capfix_cli.diagnosis.finders.case import Case, Finding

Finder = Callable[[Case], Finding]

# The gate in front of the tree: is the input, the checkpoint or the evaluation broken?
INTEGRITY: Mapping[str, Finder] = {
    weights_missing.ID: weights_missing.find,
    input_silent.ID: input_silent.find,
    input_duplicates.ID: input_duplicates.find,
    weights_untrained.ID: weights_untrained.find,
    evaluation_mode.ID: evaluation_mode.find,
    evaluation_batch.ID: evaluation_batch.find,
    evaluation_padding.ID: evaluation_padding.find,
    input_rate.ID: input_rate.find,
    input_scale.ID: input_scale.find,
    vocabulary_mismatch.ID: vocabulary_mismatch.find,
    vocabulary_special.ID: vocabulary_special.find,
}
# What is wrong with a captioner whose input, checkpoint and evaluation are sound.
MODEL: Mapping[str, Finder] = {
    encoder_collapsed.ID: encoder_collapsed.find,
    encoder_pooling.ID: encoder_pooling.find,
    conditioning_ignored.ID: conditioning_ignored.find,
    conditioning_first.ID: conditioning_first.find,
    conditioning_attention.ID: conditioning_attention.find,
    decoder_blind.ID: decoder_blind.find,
    decoder_undertrained.ID: decoder_undertrained.find,
    decoder_overconfident.ID: decoder_overconfident.find,
    decoding_search.ID: decoding_search.find,
    **{cause: training_data.finder(cause) for cause in training_data.IDS},
    training_exposure.ID: training_exposure.find,
}
FINDERS: Mapping[str, Finder] = {**INTEGRITY, **MODEL}
