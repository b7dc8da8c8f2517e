"""Every cause of the design's table with its finder, in order of the path that audio takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from capfix_cli.diagnosis.causes import conditioning_constant_attention as conditioning_attention
from capfix_cli.diagnosis.causes import conditioning_first_step_only as conditioning_first
from capfix_cli.diagnosis.causes import (
    conditioning_ignored,
    decoder_overconfident,
    decoder_undertrained,
    decoding_search,
    encoder_collapsed,
    evaluation_padding,
    training_data,
    vocabulary_mismatch,
    weights_missing,
    weights_untrained,
)
from capfix_cli.diagnosis.causes import decoder_prefix_blind as decoder_blind
from capfix_cli.diagnosis.causes import encoder_time_pooling as encoder_pooling
from capfix_cli.diagnosis.causes import evaluation_batch_dependence as evaluation_batch
from capfix_cli.diagnosis.causes import evaluation_train_mode as evaluation_mode
from capfix_cli.diagnosis.causes import input_duplicate_audio as input_duplicates
from capfix_cli.diagnosis.causes import input_feature_scale as input_scale
from capfix_cli.diagnosis.causes import input_sample_rate as input_rate
from capfix_cli.diagnosis.causes import input_silent_audio as input_silent
from capfix_cli.diagnosis.causes import training_exposure_bias as training_exposure
from capfix_cli.diagnosis.causes import vocabulary_special_tokens as vocabulary_special
from capfix_cli.diagnosis.causes.finding import DiagnosisContext, Finding

Finder = Callable[[DiagnosisContext], Finding]

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
