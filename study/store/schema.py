"""Tables of the result store: one explicit, versioned, nullable pyarrow schema each, every column documented.

The documentation travels as field metadata into each Parquet file.
"""

import pyarrow as pa

from esbn_core.vocabulary import CURVE_START, CURVE_STEP

SCHEMA_VERSION = 1

_TEXT, _INT, _FLOAT, _FLAG = pa.string(), pa.int32(), pa.float64(), pa.bool_()
_TIME = pa.timestamp("us", tz="UTC")
_VECTOR = pa.list_(pa.float32())
_LOSS = (
    "what training minimises, in nats: cross-entropy, with the loss of the memory for mnm and the penalty for a leak"
    " (rows of earlier versions: cross-entropy alone)"
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
    ("arm", _TEXT, "what the arm changes in the paper's ESBN; baseline: nothing"),
    ("seed", _INT, "seed; the same seed has the same split and problems in every arm"),
    ("model", _TEXT, "architecture, e.g. esbn"),
    ("encoder", _TEXT, "conv, mlp, random or conv_unpadded"),
    ("tcn", _TEXT, "temporal context normalisation: none, sequence or segmented"),
    ("confidence", _TEXT, "ESBN: on, off or default_memory; null for other models"),
    ("rehearsal", _FLAG, "whether it is a rehearsal, cut short by --limit-updates; such rows never enter a table"),
)

TABLES = {
    "trials": _schema(
        "one row per trained network, failed ones included",
        *_VARIANT,
        ("status", _TEXT, "completed or failed"),
        ("failure", _TEXT, "why a failed trial failed; null if completed"),
        ("test_accuracy", _FLOAT, "fraction of test problems answered correctly, after the last update"),
        ("test_loss", _FLOAT, f"mean over test problems of {_LOSS}"),
        ("leak_rms", _FLOAT, "root mean square of what the ESBN's leak adds, over test problems; null without a leak"),
        (
            "leak_key_spread",
            _FLOAT,
            "relative spread over test problems of the keys of steps 1 and 2; null likewise",
        ),
        ("closed_accuracy", _FLOAT, "test accuracy with the leak closed after training; null without a leak"),
        ("swapped_accuracy", _FLOAT, "test accuracy with the leak of another problem; null without a leak"),
        ("n_train", _INT, "training problems, as built"),
        ("n_test", _INT, "test problems, as built"),
        ("learning_rate", _FLOAT, "Adam step size"),
        ("batch_size", _INT, "problems per update"),
        ("updates", _INT, "optimiser steps of the whole training"),
        ("precision", _TEXT, "of products with weights and of convolutions: float32 or bf16"),
        ("parameters", pa.int64(), "trained parameters of the network"),
        ("config", _TEXT, "all resolved settings, as JSON"),
        ("n_objects", _INT, "objects the trial drew from"),
        ("images", _TEXT, "glyphs, or the hash of the user's own images"),
        ("images_hash", _TEXT, "SHA-256 of the pixels; joins objects.images_hash"),
        ("withheld_objects", pa.list_(_INT), "the split: objects kept out of training"),
        ("train_objects", pa.list_(_INT), "objects that the training problems show, found in these problems"),
        ("test_objects", pa.list_(_INT), "objects that the test problems show, found likewise"),
        ("problems_hash", _TEXT, "SHA-256 of the training and test problems: objects by step, and right choices"),
        ("repeated_problems", _INT, "test problems that are training problems, too"),
        ("tested_after", _INT, "updates made when the test problems were looked at, once"),
        ("pack_size", _INT, "networks trained together in the process"),
        ("wall_seconds", _FLOAT, "training and evaluation of the whole pack, all attempts together"),
        ("resumed", _INT, "times the pack went on from a checkpoint"),
        ("started_at", _TIME, "UTC"),
        ("finished_at", _TIME, "UTC"),
        ("device", _TEXT, "cpu, or the name of the GPU"),
        ("host", _TEXT, "machine that trained it"),
        ("worker", _TEXT, "process that trained it: host and process id"),
        ("threads", _INT, "torch threads of the worker"),
        *_VERSIONS,
    ),
    "curves": _schema(
        f"time course of training: the first {CURVE_START} updates, then every {CURVE_STEP}th (of trials of earlier"
        f" versions every {CURVE_STEP}th throughout)",
        ("trial_id", _TEXT, "joins trials.trial_id"),
        ("update", _INT, "updates made before this measurement"),
        ("loss", _FLOAT, f"of the training batch before its update: {_LOSS}"),
        ("accuracy", _FLOAT, "fraction of the training batch answered correctly before its update"),
    ),
    "keys": _schema(
        "what an ESBN wrote to and read from its memory, a row per problem and step (paper section 5.4, Figure 9)",
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
        "the images the trials used",
        ("images_hash", _TEXT, "joins trials.images_hash"),
        ("object", _INT, "number of the object"),
        ("name", _TEXT, "character and name, or file name"),
        ("pixels", pa.list_(pa.uint8()), "32 x 32 grey values row by row; 0 black, 255 white"),
    ),
    "plans": _schema(
        "planned trials of each study, which tell missing trials from those never planned",
        ("study", _TEXT, "name of the study"),
        ("question", _TEXT, "what the study asks"),
        ("source", _TEXT, "table or figure of the paper"),
        ("planned_at", _TIME, "UTC"),
        *_VARIANT,
        ("updates", _INT, "optimiser steps the trial takes"),
        ("keys", _FLAG, "whether the study wants the keys table for this trial"),
        ("looks", _INT, "looks that `esbn topup` planned, over which every p is corrected; null: the study has one"),
        ("seeds_per_look", _INT, "seeds that each look adds to this variant; null likewise"),
        ("search", _TEXT, "joins searches.search, whose arm this is the tuned form of; null: not tuned"),
    ),
    "external": _schema(
        "test results of networks that other code trained, e.g. the authors'; no mean, verdict or comparison has them",
        ("trial_id", _TEXT, "identity of the row: hash of origin, condition, arm and run"),
        ("origin", _TEXT, "whose results they are"),
        ("task", _TEXT, "as in trials"),
        ("withheld", _INT, "as in trials"),
        ("arm", _TEXT, "as in trials, for the settings that the result files tell"),
        ("run", _INT, "number of the run, which shares no problems with a seed of ours"),
        ("test_accuracy", _FLOAT, "as in trials, but a mean over batches of problems"),
        ("test_loss", _FLOAT, "as in trials, likewise; null if it is nan or infinite"),
        ("failure", _TEXT, "why test_loss is null; null if it is not"),
        ("file", _TEXT, "the result file, within its folder"),
    ),
    "searches": _schema(
        "what each search varies, and of what",
        ("search", _TEXT, "name of the search"),
        ("question", _TEXT, "what the search asks"),
        ("task", _TEXT, "as in trials"),
        ("withheld", _INT, "as in trials"),
        ("arm", _TEXT, "what all suggestions change in the paper's ESBN"),
        ("validation", _INT, "training objects kept apart for validation; 0: training problems are held out instead"),
        ("seeds", pa.list_(_INT), "seeds of every suggestion"),
        ("suggestions", _INT, "how many suggestions are wanted"),
        ("distributions", _TEXT, "each parameter's distribution as Optuna writes it, as JSON of JSON"),
        ("definition", _TEXT, "all that decides what an accuracy of this search means, as JSON"),
        ("declared_at", _TIME, "UTC"),
    ),
    "suggestions": _schema(
        "one row per suggestion of a search, pruned and failed ones included",
        ("search", _TEXT, "joins searches.search"),
        ("suggestion", _INT, "number, in the order in which they were made; 0: the paper's setting"),
        ("status", _TEXT, "running (or interrupted), completed, pruned or failed"),
        ("failure", _TEXT, "why a failed suggestion failed"),
        ("same_as", _INT, "an earlier suggestion of the same trials, whose outcome this is; null if trained"),
        ("parameters", _TEXT, "value of each parameter, as JSON"),
        ("arm", _TEXT, "all that the suggestion changes in the paper's ESBN"),
        ("seeds", pa.list_(_INT), "seeds of its trials"),
        ("trial_ids", pa.list_(_TEXT), "identities of its trials, in the order of seeds; each joins rungs.trial_id"),
        ("update", _INT, "updates after which it was validated last"),
        ("updates", _INT, "updates it would take in all"),
        ("accuracies", pa.list_(_FLOAT), "fraction of validation problems answered correctly there, per seed"),
        ("accuracy", _FLOAT, "their mean; the objective, if completed"),
        ("spread", _FLOAT, "their standard deviation (ddof 1); null with one seed"),
        ("sampler", _TEXT, "tpe, random, gp or cmaes"),
        ("pruner", _TEXT, "asha, median or none"),
        ("images_hash", _TEXT, "joins objects.images_hash"),
        ("wall_seconds", _FLOAT, "training and validation of the pack up to `update`, all attempts together"),
        ("resumed", _INT, "times the pack went on from a checkpoint"),
        ("suggested_at", _TIME, "UTC"),
        ("finished_at", _TIME, "UTC"),
        ("device", _TEXT, "cpu, or the name of the GPU"),
        ("host", _TEXT, "machine that trained it"),
        ("worker", _TEXT, "process that trained it: host and process id"),
        ("threads", _INT, "torch threads of the worker"),
        *_VERSIONS,
    ),
    "rungs": _schema(
        "validation of the networks of a suggestion, a row per rung and seed",
        ("search", _TEXT, "joins searches.search"),
        ("suggestion", _INT, "joins suggestions.suggestion"),
        ("trial_id", _TEXT, "identity of the trial: hash of its resolved settings and seed"),
        ("seed", _INT, "seed of the trial"),
        ("update", _INT, "updates made before"),
        ("loss", _FLOAT, "mean cross-entropy over validation problems, in nats"),
        ("accuracy", _FLOAT, "fraction of validation problems answered correctly"),
        ("n_train", _INT, "training problems, as built"),
        ("n_validation", _INT, "validation problems, as built"),
        ("withheld_objects", pa.list_(_INT), "the split: objects kept for testing"),
        ("train_objects", pa.list_(_INT), "objects that training problems show; none of them is withheld"),
        ("validation_objects", pa.list_(_INT), "objects that validation problems show; none of them is withheld"),
    ),
}
