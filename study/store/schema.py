"""Tables of the result store: one explicit, versioned, nullable pyarrow schema each, every column documented.

The documentation is stored as field metadata in each Parquet file.
"""

import pyarrow as pa

from esbn_core.vocabulary import CURVE_START, CURVE_STEP

SCHEMA_VERSION = 1

_TEXT, _INT, _FLOAT, _FLAG = pa.string(), pa.int32(), pa.float64(), pa.bool_()
_TIME = pa.timestamp("us", tz="UTC")
_VECTOR = pa.list_(pa.float32())
_LOSS = (
    "the training objective, in nats: cross-entropy, plus the memory's loss (mnm) or the leak penalty (esbn)"
    "; rows of earlier versions: cross-entropy only"
)


def _schema(doc: str, *columns: tuple[str, pa.DataType, str]) -> pa.Schema:
    fields = [pa.field(name, kind, nullable=True, metadata={"doc": text}) for name, kind, text in columns]
    return pa.schema(fields, metadata={"doc": doc, "schema_version": str(SCHEMA_VERSION)})


_VERSIONS = (
    ("commit", _TEXT, "commit of this project; null outside a checkout"),
    ("dirty", _FLAG, "whether files of the checkout had uncommitted changes; new files do not count"),
    *((f"{package}_version", _TEXT, f"version of {package}") for package in ("python", "torch", "numpy", "ray")),
)

_VARIANT = (
    ("trial_id", _TEXT, "identity of the trial: hash of its resolved settings and seed"),
    ("task", _TEXT, "same_different, rmts, distribution_of_three or identity_rules"),
    ("withheld", _INT, "m: objects kept out of training; 0: training and test share all objects"),
    ("arm", _TEXT, "changes to the paper's ESBN; baseline: none"),
    ("seed", _INT, "seed; the same seed has the same split and problems in every arm"),
    ("model", _TEXT, "architecture, e.g. esbn"),
    ("encoder", _TEXT, "conv, mlp, random or conv_unpadded"),
    ("tcn", _TEXT, "temporal context normalisation: none, sequence or segmented"),
    ("confidence", _TEXT, "ESBN: on, off or default_memory; null for other models"),
    ("rehearsal", _FLAG, "whether it is a rehearsal, cut short by --limit-updates; rehearsals never enter a table"),
)

TABLES = {
    "trials": _schema(
        "one row per trained network, including failed ones",
        *_VARIANT,
        ("status", _TEXT, "completed or failed"),
        ("failure", _TEXT, "why a failed trial failed; null if completed"),
        ("test_accuracy", _FLOAT, "fraction of test problems answered correctly, after the last update"),
        ("test_loss", _FLOAT, f"mean over test problems of {_LOSS}"),
        ("leak_rms", _FLOAT, "root mean square of the ESBN's leak over test problems; null without a leak"),
        (
            "leak_key_spread",
            _FLOAT,
            "relative spread of the keys of steps 1 and 2 over test problems; null without a leak",
        ),
        ("closed_accuracy", _FLOAT, "test accuracy with the leak closed after training; null without a leak"),
        ("swapped_accuracy", _FLOAT, "test accuracy with the leak of another problem; null without a leak"),
        ("n_train", _INT, "training problems, as built"),
        ("n_test", _INT, "test problems, as built"),
        ("learning_rate", _FLOAT, "Adam step size"),
        ("batch_size", _INT, "problems per update"),
        ("updates", _INT, "optimiser steps of the whole training"),
        ("precision", _TEXT, "float32 or bf16, in convolutions and products with weights"),
        ("parameters", pa.int64(), "trained parameters of the network"),
        ("config", _TEXT, "all resolved settings, as JSON"),
        ("n_objects", _INT, "number of objects that the trial draws from"),
        ("images", _TEXT, "glyphs, or the hash of the user's images"),
        ("images_hash", _TEXT, "SHA-256 of the pixels; joins objects.images_hash"),
        ("withheld_objects", pa.list_(_INT), "the split: objects kept out of training"),
        ("train_objects", pa.list_(_INT), "objects shown in the training problems, read from the problems themselves"),
        ("test_objects", pa.list_(_INT), "objects shown in the test problems, read from the problems themselves"),
        ("problems_hash", _TEXT, "SHA-256 of the training and test problems: objects by step, and right choices"),
        ("repeated_problems", _INT, "number of test problems that are also training problems"),
        ("tested_after", _INT, "updates made before the one test"),
        ("pack_size", _INT, "networks trained together in one process"),
        ("wall_seconds", _FLOAT, "seconds of training and evaluation of the whole pack, over all attempts"),
        ("resumed", _INT, "times the pack was resumed from a checkpoint"),
        ("started_at", _TIME, "UTC"),
        ("finished_at", _TIME, "UTC"),
        ("device", _TEXT, "cpu, or the name of the GPU"),
        ("host", _TEXT, "machine that trained it"),
        ("worker", _TEXT, "process that trained it: host and process id"),
        ("threads", _INT, "torch threads of the worker"),
        *_VERSIONS,
    ),
    "curves": _schema(
        f"training curves: each of the first {CURVE_START} updates, then every {CURVE_STEP}th (trials of earlier"
        f" versions: every {CURVE_STEP}th throughout)",
        ("trial_id", _TEXT, "joins trials.trial_id"),
        ("update", _INT, "updates made before this measurement"),
        ("loss", _FLOAT, f"mean over the training batch, before its update, of {_LOSS}"),
        ("accuracy", _FLOAT, "fraction of the training batch answered correctly before its update"),
    ),
    "keys": _schema(
        "keys that an ESBN wrote and read; one row per problem and step (paper section 5.4, Figure 9)",
        ("trial_id", _TEXT, "joins trials.trial_id"),
        ("split", _TEXT, "train or test: which problem set"),
        ("problem", _INT, "number of the problem within its set"),
        ("step", pa.int8(), "t, from 1"),
        ("object", pa.int16(), "the object shown at this step"),
        ("key", _VECTOR, "key written at this step"),
        ("read", _VECTOR, "gated key read at this step, without confidence; null at step 1"),
        ("gate", pa.float32(), "gate of the read; null at step 1"),
        ("weights", _VECTOR, "retrieval weights over steps 1..t-1, after the default entry if there is one"),
    ),
    "objects": _schema(
        "the images of the trials",
        ("images_hash", _TEXT, "joins trials.images_hash"),
        ("object", _INT, "number of the object"),
        ("name", _TEXT, "character and name, or file name"),
        ("folder", _TEXT, "name of the folder of the user's own images; null: the paper's characters"),
        ("pixels", pa.list_(pa.uint8()), "32 x 32 grey values row by row; 0 black, 255 white"),
    ),
    "plans": _schema(
        "planned trials of each study; where a variant was planned again with other trials, the plans since then",
        ("study", _TEXT, "name of the study"),
        ("question", _TEXT, "question of the study"),
        ("source", _TEXT, "table or figure of the paper"),
        ("planned_at", _TIME, "UTC"),
        *_VARIANT,
        ("updates", _INT, "optimiser steps of the trial"),
        ("keys", _FLAG, "whether the study records the keys of this trial"),
        ("looks", _INT, "number of looks planned by `esbn topup`, for which every p is corrected; null: one look"),
        ("seeds_per_look", _INT, "seeds that each look adds to this variant; null: one look"),
        ("search", _TEXT, "joins searches.search, the search that tuned this arm; null: not tuned"),
    ),
    "external": _schema(
        "test results of networks trained by other code, e.g. the authors'; never in a mean, verdict or comparison",
        ("trial_id", _TEXT, "identity of the row: hash of origin, condition, arm and run"),
        ("origin", _TEXT, "source of the results"),
        ("task", _TEXT, "as in trials"),
        ("withheld", _INT, "as in trials"),
        ("arm", _TEXT, "as in trials, for the settings that the result files state"),
        ("run", _INT, "number of the run; not a seed of ours, and with different problems"),
        ("test_accuracy", _FLOAT, "as in trials, but a mean of batch means"),
        ("test_loss", _FLOAT, "as in trials, but a mean of batch means; null if it is nan or infinite"),
        ("failure", _TEXT, "why test_loss is null; otherwise null"),
        ("file", _TEXT, "path of the result file within the imported folder"),
    ),
    "searches": _schema(
        "searches: their networks, the settings they vary, and their budget",
        ("search", _TEXT, "name of the search"),
        ("question", _TEXT, "question of the search"),
        ("task", _TEXT, "as in trials"),
        ("withheld", _INT, "as in trials"),
        ("arm", _TEXT, "changes to the paper's ESBN in all suggestions"),
        ("validation", _INT, "training objects held out for validation; 0: training problems are held out instead"),
        ("seeds", pa.list_(_INT), "seeds of every suggestion"),
        ("suggestions", _INT, "number of suggestions to make"),
        ("distributions", _TEXT, "parameter -> distribution, as JSON; the distributions are Optuna's JSON strings"),
        ("definition", _TEXT, "everything that determines what an accuracy of this search means, as JSON"),
        ("declared_at", _TIME, "UTC"),
    ),
    "suggestions": _schema(
        "one row per suggestion of a search, including pruned and failed ones",
        ("search", _TEXT, "joins searches.search"),
        ("suggestion", _INT, "number, in the order in which they were made; 0: the paper's setting or the nearest"),
        ("status", _TEXT, "running (or interrupted), completed, pruned or failed"),
        ("failure", _TEXT, "why a failed suggestion failed"),
        ("same_as", _INT, "earlier suggestion with the same trials, whose result is copied; null if trained"),
        ("parameters", _TEXT, "value of each parameter, as JSON"),
        ("arm", _TEXT, "all changes of the suggestion to the paper's ESBN"),
        ("seeds", pa.list_(_INT), "seeds of its trials"),
        ("trial_ids", pa.list_(_TEXT), "identities of its trials, in the order of seeds; each joins rungs.trial_id"),
        ("update", _INT, "updates made before its last validation"),
        ("updates", _INT, "updates of its full training"),
        ("accuracies", pa.list_(_FLOAT), "fraction of validation problems answered correctly at that update, per seed"),
        ("accuracy", _FLOAT, "their mean; the objective, if completed"),
        ("spread", _FLOAT, "their standard deviation (ddof 1); null with one seed"),
        ("sampler", _TEXT, "tpe, random, gp or cmaes"),
        ("pruner", _TEXT, "asha, median or none"),
        ("images_hash", _TEXT, "joins objects.images_hash"),
        ("wall_seconds", _FLOAT, "seconds of training and validation of the pack up to `update`, over all attempts"),
        ("resumed", _INT, "times the pack was resumed from a checkpoint"),
        ("suggested_at", _TIME, "UTC"),
        ("finished_at", _TIME, "UTC"),
        ("device", _TEXT, "cpu, or the name of the GPU"),
        ("host", _TEXT, "machine that trained it"),
        ("worker", _TEXT, "process that trained it: host and process id"),
        ("threads", _INT, "torch threads of the worker"),
        *_VERSIONS,
    ),
    "rungs": _schema(
        "validation results of the networks of a suggestion, one row per rung and seed",
        ("search", _TEXT, "joins searches.search"),
        ("suggestion", _INT, "joins suggestions.suggestion"),
        ("trial_id", _TEXT, "identity of the trial: hash of its resolved settings and seed"),
        ("seed", _INT, "seed of the trial"),
        ("update", _INT, "updates made before this validation"),
        ("loss", _FLOAT, "mean cross-entropy over validation problems, in nats"),
        ("accuracy", _FLOAT, "fraction of validation problems answered correctly"),
        ("n_train", _INT, "training problems, as built"),
        ("n_validation", _INT, "validation problems, as built"),
        ("withheld_objects", pa.list_(_INT), "the split: objects kept for testing"),
        ("train_objects", pa.list_(_INT), "objects shown in training problems; none is withheld"),
        ("validation_objects", pa.list_(_INT), "objects shown in validation problems; none is withheld"),
    ),
}
