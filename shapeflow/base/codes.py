"""The explanation of every diagnostic code, printed by `shapeflow explain CODE`: what it means, and what to do.

A code is stable and never reused. `tests/test_mistakes.py` compares this list with the codes that the sources raise,
and contains an example of each.
"""

from __future__ import annotations

from collections.abc import Mapping

_SENTENCES = {
    "syntax": "The text does not follow the grammar. The caret marks where reading stopped, and the help shows a "
    "complete sentence of the kind that was begun. `shapeflow explain` lists all kinds.",
    "empty-file": "The file has no sentence, or only comments. Begin with a `plan` sentence; `examples/` has complete "
    "files.",
    "repeated-sentence": "A sentence that may appear only once appears twice. Keep one: a later sentence does not "
    "replace an earlier one.",
    "repeated-name": "Two axes, or two names defined by `let` and `use`, have the same name. Rename one of them.",
    "missing-sentence": "The file lacks a sentence that it needs. The message names it.",
    "no-axis": "The file has no `axis` sentence, so there is no shape to choose. Add one for what may vary.",
    "no-model": "Data, an objective, an optimizer and training itself need a model. Add a `model` sentence; without "
    "one a plan can be compiled and simulated, but not run.",
    "no-end": "The file does not say where the plan ends. Add a `budget`, or `stop when error <= ...`, or both.",
    "two-ways": "A file has either a `traversal`, which picks the stages, or `stage` sentences. Keep one of them.",
    "stage-order": "Stages follow each other in the order of the file. Each `until` counts from the start of the run, "
    "and the last stage runs `until end`.",
    "path-outside": "A file may refer only to files in its own folder and below, so that a plan can be moved as a "
    "whole.",
    "no-such-file": "A file that the `.shape` file refers to does not exist. Paths are relative to the file that "
    "contains them.",
    "not-a-let": "A file loaded by `use` may contain only `let` sentences, so that a plan is always in one file.",
}
_VALUES = {
    "unknown-name": "A name is used as a value, and no `let` defines it. Define it, or correct the spelling.",
    "circular-let": "A `let` refers to itself, directly or through other `let`s. Give one of them a value.",
    "missing-unit": "The number needs a unit, because several are possible here. Write the unit after the number.",
    "unknown-unit": "No unit has this name. Prefixes are part of the name: `EFLOPs` and `ktokens`, not `EFLOP`.",
    "wrong-unit": "The unit measures a different quantity than this place needs. The help names a unit that fits.",
    "wrong-kind": "This place needs a different kind of value: a string in quotes, a list, a shape, or a number with a "
    "unit.",
    "unknown-choice": "The setting accepts only a few names. The label lists them.",
    "not-whole": "This place needs a whole number.",
    "out-of-range": "The value is outside the allowed range. The label states the limit.",
}
_COMPONENTS = {
    "unknown-component": "No component of this kind has this name. `shapeflow explain` lists all of them.",
    "broken-model-table": "The table of the model `external` cannot be used. The note says what is wrong with it; "
    "`shapeflow explain external` shows a table.",
    "broken-component": "The entry point of another distribution names a module or class that cannot be imported. "
    "The note has Python's reason. It is an error if the file names the component, otherwise a warning.",
    "wrong-member": "A component class does not meet the protocol of its kind: it lacks a member, has a member "
    "with a misspelt name, or one with the wrong parameters or type. The help says what to "
    "write; `shapeflow/ir/components.py` lists the members of each kind. In a component of another distribution it is "
    "an error if the file names the component, otherwise a warning.",
    "component-clash": "Two distributions provide a component of the same kind and name. Components of shapeflow "
    "itself take precedence, then those of others in the order in which Python finds them. Rename one, or "
    "uninstall it.",
    "unknown-setting": "The component has no setting of this name. `shapeflow explain NAME` lists its settings.",
    "missing-setting": "The component needs a setting that is not given. Write `name: value` inside its parentheses.",
    "rate-table": "A table of factors on the learning rate needs one factor for each batch of the axis, in "
    "ascending order.",
    "repeated-setting": "A setting, or an axis of a shape, is given twice. Keep one.",
    "unnamed-setting": "A value is given without the name of its setting. Only a few settings may be given without a "
    'name, such as the path of `fit("runs/*.csv")`; write `name: value` for all others.',
    "idle-setting": "A setting has no effect together with the other settings of its component. Leave it out, or "
    "change the setting that it depends on.",
    "setting-and-axis": "The model sets a value that is also an axis of the file. Leave the setting out: every stage "
    "gets its value from the axis.",
    "two-objectives": "Either an `objective` sentence sets the loss for the whole run, or an axis `loss` sets it for "
    "each stage. Keep one of them.",
    "mixture-weights": "A mixture has one weight for each of its parts, objectives or corpora, and at least one weight "
    "must be above 0.",
    "corpora-differ": "The corpora of a mixture are texts with the same vocabulary, tokenizer and end-of-document "
    "token: one model reads all of them. The number of tokens of a step is set once, in the mixture.",
    "many-epochs": "The run reads a corpus of its mixture many times. Up to about four epochs, repeated text is worth "
    "almost as much as new text (Muennighoff et al. 2023, arXiv 2305.16264); after that less and less. Give the corpus "
    "a smaller weight, shorten the run, or add text.",
    "not-mixable": "These objectives cannot be combined in one mixture: an objective that masks its own samples needs "
    "other inputs than the rest, and label smoothing cannot be applied to the soft targets of a teacher. Share the "
    "steps instead: list both on an axis `loss`, and use `blend` or `with` a share.",
    "teacher-missing": "The file of weights that an objective learns from does not exist. Compiling and running both "
    "stop here, even if the teacher is needed only in a late stage. Paths are relative to the `.shape` file.",
    "teacher-broken": "The file is not a safetensors file written by `shapeflow export`, is truncated, or contradicts "
    "itself.",
    "teacher-mismatch": "Teacher and student must have the same classes or vocabulary and take the same images, "
    "because the teacher's outputs are the student's targets. Ids that an objective reserves for sentinels do not "
    "count.",
    "teacher-stretched": "A warning: the student trains at a longer context than the teacher did. The teacher is still "
    "evaluated there, at positions that it was never trained on, and its outputs may be poor.",
    "run-unfinished": "The run has not reached the end of its plan, so its weights are not final. Resume it with "
    "`--resume`, or export the weights as they are.",
    "teacher-changed": "The teacher's file is not the one that the plan was compiled with: the digests differ. Restore "
    "the old file, or compile the plan again.",
    "start-missing": "The file of weights that a run starts from does not exist. Paths are relative to the `.shape` "
    "file, or to the plan if it is run without its source. A resumed run does not need the file.",
    "start-broken": "The file is not a safetensors file written by `shapeflow export` or `shapeflow import`, is "
    "truncated, or contradicts itself.",
    "start-mismatch": "A run starts from weights of its own model, in the sizes of its first stage: nothing is cut, "
    "padded or left out. Let the plan begin in the shape of the file. A switch can change it later.",
    "start-changed": "The file of weights that the run starts from is not the one that the plan was compiled with: the "
    "digests differ. Restore the old file, or compile the plan again.",
    "start-left-out": "A warning: runs for fitting laws, and runs that are compared by the compute they need, start "
    "from new weights, because laws are of training from scratch.",
    "laws-from-scratch": "A plan that starts from weights enters each law at the error of these weights. This is "
    "possible for power laws only: a law of mixtures, and a law that is a table, describe training from its start.",
    "wrong-data": "Model, objective, metric, axis and data do not fit together: images, text and vectors each have "
    "their own.",
    "no-document-ends": "The model attends within documents, but the ends of documents are unknown: the data has no "
    "token for them, or the text contains none. A folder of files has one after each file.",
    "wrong-transition": "The transition after `via` moves along a different axis than the one before `in`.",
    "not-of-model": "The model cannot vary along this axis. The label lists the axes of the model.",
}
_SHAPES = {
    "repeated-value": "A value is listed twice on one axis. Remove one.",
    "ambiguous-value": "Two values of an axis have the same name: a component with settings is called by its "
    "component's name. Name one of them with a `let`, and list that name.",
    "unordered-axis": "The values of this axis are names, which have no order. Compare them with `is`.",
    "unknown-axis": "The file has no axis of this name.",
    "unknown-value": "The shape has a value that its axis does not list. Add it to the axis, or use a value that is "
    "listed.",
    "incomplete-shape": "A shape, or the `candidates` sentence, leaves out an axis. Name every axis of the file.",
    "no-candidates": "No shape meets the condition after `where`. Loosen the condition.",
    "not-a-candidate": "The condition after `where` excludes this shape, so no stage and no law may use it.",
    "unknown-candidate": "A setting of the traversal names a shape that is not a candidate. The note lists the "
    "candidates.",
    "wrong-value": "A value of an axis must be a positive whole number.",
    "indivisible-patch": "Square patches must tile the image exactly. Use a patch size that divides the image's side; "
    "the image's size is a setting of the data.",
    "resolution-above-data": "The resolution is larger than the images of the data. Upsampling costs compute and adds "
    "no detail. Lower the resolution, use larger images, or write `upsample: true` in the model.",
    "stored-mismatch": "Two transitions store the same array, such as a position grid, at different sizes. Give both "
    "the same size.",
    "tokens-per-step-not-integral": "A step has the same number of tokens at every context, so the batch must be a "
    "multiple of every context. Powers of two always fit.",
    "context-too-short": "The objective removes spans from a window and appends them, with a sentinel before each. A "
    "shorter window has no room for that.",
    "too-few-sentinels": "The objective marks each span of a window with its own sentinel token, and a long window has "
    "more spans than there are sentinels. Set `sentinels` as the help shows.",
    "head-width-mismatch": "The channels of a model are split into heads of one width, so every width must be a "
    "multiple of the head width. If `heads` is given, it must agree.",
    "kv-ratio-changed": "Groups of heads share a key and value head, the same number at every width. Choose widths and "
    "a `kv_ratio` that give whole groups.",
    "fractional-mlp": "The number of hidden units of an MLP is `mlp_ratio` times the width, which must be a whole "
    "number.",
}
_THEORY = {
    "outside-theory": "The theory of random features needs alpha above 0, beta of 0 or more, both at most 3, and "
    "2 alpha + 2 beta above 1: otherwise the variance of the target grows without limit with the number of features, "
    "and the loss follows no power law. `docs/theory.md` has the map of phases.",
    "unstable-step": "SGD diverges at this step size, at the width and batch in the message. Write the step size in "
    "the help, or a smaller one. The usual bound, 2 over the trace of the covariance, can be several times too large.",
    "step-too-small": "At this step size, SGD does not lower the loss in any number of steps that could be made, so "
    "there is no law. Write a step size such as that in the help.",
    "width-above-features": "The model has as many random features as the data has features, or more, which the theory "
    "does not cover. Raise `features`, leave it out so that it grows with the width, or use narrower models.",
    "matrix-too-large": "The random matrix of the model has an entry for each feature of the data and each of the "
    "model. It would take more than 1 GiB of memory. Use narrower models, or data with fewer features.",
    "less-than-a-step": "The compute is less than one step of SGD at the narrowest width, so no model can be trained "
    "with it.",
    "law-of-other-model": "`laws from phases` describes linear models on random features. The file has another model, "
    "whose losses and FLOPs these laws do not predict.",
    "no-width-family": "`shapeflow phases --fit` measures how the best width grows with compute. It needs curves of "
    "one loss over compute, in runs that differ in their width alone and keep it while they train. `shapeflow doctor` "
    "shows what the columns of a log hold; `--where` selects rows.",
    "few-widths": "Exponents are slopes over the compute at which the best width changes. They need at least three "
    "widths, the widest at least 4 times the narrowest, and five or more to see whether the exponents are constant. "
    "`shapeflow sweep` trains one run of each.",
    "rising-loss": "The loss of a run does not fall beyond its noise, or rises at the end. The curve then does not "
    "show what more compute gives. Measure the loss on more data, or end the runs earlier.",
    "no-interior-optimum": "One width is the best at nearly all compute that was measured, so nothing shows how the "
    "best width grows. Train longer or add narrower models if the narrowest is the best; add wider ones if the widest "
    "is.",
    "short-envelope": "The best width changes over less than about one decade of compute. A slope over less is not "
    "evidence for an exponent. Cover more compute with narrower and wider models.",
    "loose-exponents": "Curves of neighbouring widths are too noisy, or too close to each other, to determine where "
    "they cross. Average the loss over more data, train more runs of each width, or use widths that are farther apart.",
    "width-alone": "`laws from phases` predicts the loss over the width. The file needs the axis `width` and no other.",
}
_LOGS = {
    "unreadable-log": "A file that the pattern matches is not a log, or is damaged. Logs are tables (CSV, TSV, JSON, "
    "parquet), event files of TensorBoard, trainer states of Hugging Face, and run folders: see `docs/logs.md`.",
    "unknown-place": "A placeholder in braces, in the paths or the column names of `fit`, is the name of an axis, or "
    "`{run}` for the name of a run. Other settings may use only the placeholders of `error`.",
    "sampled-history": "A warning: W&B by default exports a sample of a run's history. A law fitted to a sample uses "
    "fewer points; a law fitted to smoothed charts is wrong.",
    "computed-compute": "A warning: a log has no compute column, so compute was derived from its steps. This is "
    "correct only if all steps cost the same, as given by the file's model and data.",
    "missing-column": "A log or table has no column of the expected name, or the column has other contents. Name the "
    "column with a setting of `fit`, or with the option that the help names.",
    "wrong-counter": "A column that a setting names counts something else than it is taken for: epochs or samples are "
    "not steps, FLOPs per second are not compute, nor is a number that does not grow along the runs, and steps of "
    "another batch are not those of the file. "
    "Name another column, or say with `step_unit` what one unit is.",
    "number-format": "A column of numbers holds commas. `3,91` may be 3.91, and `1,234` may be 1234 or 1.234: state "
    "with `numbers` how the numbers of the log are written.",
    "unnamed-runs": "A warning: a table of sizes and tokens has neither steps nor names of runs. Its rows may be "
    "points along one run of each size, or the ends of several runs, which need another fit.",
    "run-ends": "Each row of a table is the end of a run of its own. A law of compute is a curve along runs of one "
    "shape; ends of runs of different lengths are not one curve if each finished its own learning rate schedule.",
    "missing-steps": "The warm-up to drop is given in steps, but the log has no step column.",
    "mixed-conventions": "The runs count compute by a different convention than the file's model, so their laws do not "
    "apply; or different runs count it in different ways, such as with and without the backward passes.",
    "too-few-points": "A law has four parameters and needs at least five points, preferably a dozen. Evaluate more "
    "often or run longer.",
    "torn-log": "A warning: the last line of a log is truncated, as after a run that was killed. The line is ignored.",
    "skipped-runs": "A warning: some files that match the pattern were not read. The notes list each with its reason.",
    "mixed-pilots": "The pilots of a mixture differ in what was trained, or how, so one law cannot describe them. Name "
    "the pilots of one training: they may differ only in their shares, seeds and lengths.",
    "foreign-pilots": "The pilots were trained with another model, data, objective or optimizer than the file has. "
    "Neither the share nor the saving carries over: train pilots of this file. A table does not say what its pilots "
    "trained: only their FLOPs are compared with those that the file's model takes on their data.",
    "too-few-pilots": "A law of mixtures compares shares, so it needs pilots with at least two different ones. "
    "`shapeflow pilot` trains them.",
    "short-pilot": "A pilot has too few measurements after the start of training, which the law does not describe. "
    "Evaluate more often, train longer, or lower `start`.",
    "no-common-target": "Every pilot of a mixture must train the target shape, and one of them nothing else. The law "
    "predicts the error at this shape.",
    "unpiloted-shape": "A table of pilots has data at a shape that is not a candidate of the file. Add the value to "
    "its axis, or use a table of these candidates.",
    "other-target": "The law of a mixture predicts the error at one target, that of its pilots. Name the same target "
    "in `traversal mixture`, or train pilots of the new one.",
    "no-target": "`shapeflow pilot` needs the shape that the model will be used at. Name it: `traversal "
    "mixture(target: (context: 256 tokens))`.",
    "excluded-points": "A warning: some rows have no usable numbers and are ignored.",
    "unfinished-runs": "A warning: a table of W&B runs lists runs that crashed, failed, were killed or are running. "
    "Their rows are not ends of runs, and are ignored.",
    "repeated-steps": "A warning: a step was logged twice, as by a run that was resumed. The last entry counts.",
    "falling-compute": "A warning: compute must grow along a run. One file may contain several runs. Compute that "
    "begins again while the steps of a run go on, as after a resume, is counted by steps.",
    "small-compute": "A warning: the compute column seems to be in larger units than FLOPs: set `compute_unit`.",
    "published-law": "A warning: the laws come from a paper. They hold for its data, its tokenizer and its learning "
    "rates.",
    "beyond-published": "A warning: the models of this file, or their steps, are outside the range that the published "
    "law was fitted to. The notes say in which respect, and by how much.",
    "foreign-metric": "A published law predicts one metric, and the file uses a different one.",
    "missing-parameters": "A published law and a joint law of several sizes need the number of parameters of every "
    "candidate. With a model it is known; without one, list the numbers, or name the column that has them.",
    "no-frontier": "`shapeflow frontier` asks for the best fixed shape and the best schedule of several budgets. The "
    "file must have a law for each candidate, and a `traversal`, not stages by hand. A budget has no answer where a "
    "law would be used at more than 20 times its largest measured compute.",
    "no-best-size": "The best size of a budget is where a larger model gains as much as more tokens. These runs show "
    "one of the two effects only, or the budget is too far from them.",
    "odd-compute": "Compute, parameters and tokens of logs do not belong together: a token of training takes about "
    "6 FLOPs for each parameter, and where a log does not state both, the model of the file says what its steps take. "
    "Compute may count forward passes alone, one of several processes, or another unit. "
    'Take the product of the others, or state that compute is right with a number: `compute: "1 * flops"`. It is then '
    "a warning.",
    "unnamed-rate": "A warning: no log shows a learning rate, and a column of no known name falls along the runs as "
    "one does. Name it by `rate` if it is the learning rate: points of runs whose rate falls are on no law of a "
    "constant rate.",
    "odd-drop": "A warning: some runs end in a cooldown, which measures how far the error falls there. A run that is "
    "off its law before, or a drop unlike those of other shapes, is probably of another run or of other settings.",
    "runs-in-parts": "A warning: logs of one shape begin where others end. As parts of one run they are one curve, "
    "whose compute counts once. `{part}` in the paths joins them.",
    "unlike-runs": "A warning: a run needs much more or less compute than the other runs of its shape for the same "
    "error, by far more than seeds differ. Its settings are probably others, such as the warm-up, the learning rate or "
    "the batch; a law over both describes neither.",
    "few-ends": "A law over the ends of runs needs runs of several lengths: three budgets for each shape, or two if an "
    "exponent is shared. A run gives one end, however many points it logged.",
    "few-sizes": "A joint law has a term for size and one for tokens. Two sizes do not show how the loss bends over "
    "size, and five numbers need more points than five. Add sizes, or fit a law to each candidate alone.",
    "not-a-law": "The published result gives the best shape for an amount of compute. A plan needs the error of each "
    "shape.",
    "mixed-laws": "The laws of one program differ in metric, convention, unit, evaluation, data or learning-rate "
    "schedule, or the rows of a table are of several models that no axis tells apart. Their errors or their compute "
    "cannot be compared.",
    "stale-laws": "A warning: files that a table of laws was fitted to have changed or are missing. Fit again, or keep "
    "the table: its laws describe the files as they were.",
    "falling-rate": "The learning rate falls along the runs that a law was fitted to. An early point of such a run has "
    "a higher error than a shorter run would reach, so the curve does not show the state of a run after some compute. "
    "`shapeflow fit` ends with it as an error, plans answer `unknown`, and `shapeflow phases --fit` refuses such runs.",
    "other-end": "A warning: shapes are compared by a metric that measures each in its own form, such as its own "
    "context, and the plan ends below the largest value. For a model that is used at the largest value, such a plan "
    "can be worse than a fixed shape. Plan by the metric of the model that you keep, such as "
    "`metric loss(context: longest)`.",
    "short-of-warmup": "A warning: a warm-up of the learning rate takes more steps than the plan, or than the stage "
    "after a switch, so that the rate that was asked for is never reached. Shorten the warm-up, or train longer.",
    "strong-decay": "A warning: a step multiplies matrices by 1 - `lr` * `weight_decay`. With a product above 1, each "
    "step turns the weights over; above 2 they grow without bound.",
    "loose-law": "A warning: the points scatter around the law more than measurement noise should.",
}
_WAYS = {
    "no-laws": "The traversal needs laws, or the plot has nothing to draw without them. Fit laws to runs (`shapeflow "
    "sweep` makes runs), or state a law for each candidate.",
    "error-above-one": "A metric that is a share of wrong answers lies between 0 and 1, and a log has larger values. "
    "Divide a column in percent by 100, or name a different column.",
    "no-such-logs": "The pattern of a law source matches no file and no folder. Paths are relative to the file that "
    "contains them, and wildcards are those of a shell: `*`, `?`, `**`.",
    "nothing-to-fit": "The file's laws are stated or read from a file, so there is nothing to fit. Name runs: `laws "
    "from fit(...)`, in the file or by `--set`.",
    "law-without-runs": "This candidate does not have a law, but others do. Add runs of it, state its law, or drop the "
    "candidate.",
    "missing-laws": "The traversal compares all candidates, so each of them needs a law.",
    "missing-start": "Stated laws do not include the error at which training begins. Add `start at error ...`.",
    "target-above-start": "The run starts below the error at which it should stop. Lower the target.",
    "target-out-of-reach": "Every law has a floor that more compute cannot lower, and the target is below all floors.",
    "no-way": "No law goes below the error at which the run starts, or the budget ends before one does. Start at a "
    "higher error, raise the budget, or check the laws.",
    "uncounted-budget": "Without a model the FLOPs of a step are unknown. Give the budget in compute.",
    "steps-without-model": "Without a model the FLOPs of a step are unknown. Give the setting in compute.",
    "ratio-without-budget": "A percentage refers to the budget, but the file has no budget. Add one, or write an "
    "amount.",
    "unused-error": "A warning: `stop` and `start` are errors, which only laws can predict, and the file has no laws. "
    "The budget alone decides where the plan ends.",
    "unreached-candidate": "A warning: the plan does not use a candidate. Either it is never the cheapest shape within "
    "the budget, or the plan ends before its stage. Drop the candidate if this is intended.",
    "long-cooldown": "A warning: the cooldown begins before the last switch, or before the learning-rate warm-up after "
    "it, is over. New parameters then learn at a rate that is already falling. Shorten the cooldown, or switch "
    "earlier.",
    "cooldown-left-out": "A warning: runs for fitting laws, and runs that are compared by the compute they need, keep "
    "a constant learning rate. `shapeflow run` uses the file's cooldown.",
    "weights-left-out": "A warning: runs for fitting laws, and runs that are compared by the compute they need, keep "
    "the first weights of the corpora. `shapeflow run` changes them as the file says.",
    "weights-order": "The `weights` sentences change the weights of the corpora at later and later steps, each after "
    "the first step and before the end of the plan.",
    "two-decays": "`schedule` lowers the learning rate over the whole run, and `cooldown` over its last part. A plan "
    "can have one of them.",
    "decay-not-predicted": "A warning: the learning rate of the plan falls, but its laws are for a constant rate. All "
    "errors, switches and savings are predicted as if the rate stayed constant.",
    "schedule-left-out": "A warning: runs for fitting laws, and runs that are compared by the compute they need, keep "
    "a constant learning rate. `shapeflow run` follows the file's schedule.",
    "empty-stage": "A warning: a stage is shorter than one step and is left out.",
    "too-many-candidates": "The values of the axes have more combinations than can be compared, counted before `where` "
    "leaves some out, or more than a traversal can make a stage of each of. List fewer values on an axis.",
    "too-many-steps": "A stage has an unrealistic number of steps: the budget is too large for a model this small. "
    "Or the events of a plan are asked for that has more steps than are made one by one.",
    "impossible-plan": "The sizes of a stage, or its numbers, are outside the limits of a plan, so that the plan could "
    "not be read again. Use smaller sizes; a wide hidden layer is `mlp` times the width.",
    "implausible-number": "A law or a traversal of another distribution returned a number that is not finite "
    "or has a size that no training run has. Nothing can be computed with it.",
    "no-steps": "The whole plan is shorter than one step. Raise the budget.",
}
_SWITCHES = {
    "one-way-transition": "The transition goes one way only, such as from narrow to wide. Order the stages "
    "accordingly.",
    "one-way": "An edit would make a parameter smaller. Transitions that grow parameters cannot shrink them.",
    "not-blendable": "Steps of one stage may be shared among shapes that store the same parameters, such as different "
    "patches or contexts. A width changes what is stored, so it needs a stage of its own.",
    "blend-without-model": "A warning: shares apply to steps, and steps are known only with a model.",
    "no-random-features": "`append` and `project` add random features, which only the model `random_features` has. "
    "Other models grow by `width_expand`.",
    "no-residual-stream": "`width_expand` adds channels to the residual stream of a transformer, which this model "
    "does not have. The model `random_features` grows by `project` or `append`.",
    "no-patch": "The transition resizes patches, but the model does not have any.",
    "context-needs-rope": "The context of a model with learned positions cannot grow: the new positions would be "
    "untrained.",
    "rope-base-changed": "The transition reads rotary positions at angles that they were not trained at, which "
    "changes the function. Choose the model's `rope_base` for the longest context and keep it, or set `allow_lossy: "
    "true`.",
    "dead-width": "With `gamma: 0` most new entries would be zero on both sides of a product and never receive "
    "a gradient.",
    "slot-contested": "Two transitions at one switch set the same slot to different values.",
    "broken-grain": "An edit would split a head. Widths grow by whole heads.",
    "grow-under-view": "An edit would enlarge a parameter along a dim that is read through a view.",
    "not-arrived": "After its edits a parameter does not have the size that the new shape needs: the transition missed "
    "it. This is a mistake in the transition or the model, not in the file.",
    "unknown-parameter": "An edit names a parameter that the model does not declare: a mistake in a transition.",
    "unknown-dim": "An edit or a table names a dim that is not declared: a mistake in a transition or a model.",
    "unknown-role": "A model declares a parameter with a role that no transition knows: a mistake in the model.",
    "not-preserving": "On a small model, a switch changes what its transition declares to preserve, or switching back "
    "does not restore a reading. `shapeflow check` measures this. It is a mistake in the transition or the model. In "
    "`rehearse`, it is a mistake in the table of parameters, the adapter or the module.",
    "dead-entries": "New entries of a parameter had no gradient by the second step, as when both sides of a product "
    "start at zero: they would never learn. `shapeflow check` measures this. It is a mistake in the transition.",
    "undeclared-state": "After the first update, the torch optimizer of a plugin keeps other state than its component "
    "declares: other parts, or other sizes. Surgery and checkpoints follow the declaration, so the run stops.",
    "wrong-state": "After a switch the names or sizes of the averaged weights or of the optimizer's state differ from "
    "those of the parameters: a mistake in the backend.",
    "no-slot": "An edit multiplies a slot that the model does not have: a mistake in a transition.",
}
_FILES = {
    "broken-credits": "The file does not contain credits, or was truncated or changed after it was written. Measure "
    "them again with `shapeflow probe`.",
    "foreign-credits": "The credits were measured with a different model, data, objective, optimizer, metric or "
    "transition, so they do not apply. Measure them again with `shapeflow probe`.",
    "two-costs": "A plan makes the best of its budget: of one in FLOPs it makes the lowest error for that compute, of "
    "one in hours the lowest error for that time. So `minimise` and `budget` must be in the same unit. Costs that "
    "follow from time may have a budget in time.",
    "no-profile": "An amount of time can be counted in steps only if the file names a `profile`: the seconds of a step "
    "in each candidate, which `shapeflow profile` measures on the machine that will train.",
    "broken-profile": "The file does not contain a profile, or was truncated or changed after it was written. Measure "
    "it again with `shapeflow profile`.",
    "foreign-profile": "The profile was measured with a different model, data, objective, optimizer, metric or "
    "transition, so its seconds do not apply. Measure it again with `shapeflow profile`.",
    "wrong-seconds": "A table that a `profile` sentence names (`.csv`, `.tsv`, or `.json` with a list of objects) has "
    "a row for each candidate, a column for each axis, and `seconds per step`. A column `devices` may say how many "
    "devices share a step.",
    "other-devices": "The seconds that the plan predicts are those of another number of processes than the run has. "
    "The steps are the same; their time is not. Measure a profile with the `--gpus` or `--processes` of the run.",
    "other-rows": "The profile, or the table of seconds, lacks candidates of the file and has other shapes, so a value "
    "may be mistyped, or the profile is of an earlier version of the file. The seconds of those candidates are "
    "interpolated.",
    "incomplete-profile": "The profile, or the table of seconds, lacks candidates of the file, and has too few "
    "others to interpolate their seconds. Measure it again with `shapeflow profile`, or add them to the table.",
    "broken-laws": "The file does not contain laws, or was truncated or changed after it was written. Fit them again "
    "with `shapeflow fit`.",
    "cannot-read": "A file cannot be read. The note gives the operating system's reason.",
    "cannot-write": "A file cannot be written. The note gives the operating system's reason; the old file is "
    "unchanged.",
    "disk-full": "The disk is full. What was saved before is intact: free some space and continue with `--resume`.",
    "broken-plan": "The file is not a plan, or parts of it are missing, unknown or wrong. Compile it again.",
    "plan-edited": "The plan's digest does not match its contents: it was changed after it was compiled. Change the "
    "`.shape` file and compile it again.",
    "plan-version": "The plan was written by a version of shapeflow with a different plan format. Compile it again.",
    "plan-is-final": "`--let`, `--set` and `--seed` change a `.shape` file; a compiled plan cannot be changed.",
    "unknown-picture": "The extension of the file's name sets the picture's format, such as `.svg` or `.png`.",
    "no-matplotlib": "Drawing needs matplotlib, which is not installed: `pip install shapeflow[plot]`.",
    "nothing-to-explain": "No component, sentence or diagnostic code has this name. `shapeflow explain` lists all.",
}
_RUNS = {
    "unknown-backend": "No installed distribution provides a backend of this name.",
    "unknown-metric": "Runs can be compared only by a value that they measured. The note lists these values.",
    "no-such-metric": "A run can stop only at a value that it measures. The help lists these values.",
    "no-such-steps": "`--profile` names steps that the plan does not have. Steps are counted from 1.",
    "cannot-profile": "`--profile` records the operations of torch, which only the machine `torch` makes.",
    "not-profiled": "The process did not make all of the steps that `--profile` names: they come before the checkpoint "
    "from which it went on, or the run ended before them. The trace has the others. The run is as without.",
    "no-such-device": "The device must be `cpu`, `cuda` or `auto`; `auto` uses a GPU if there is one.",
    "no-such-gpus": "The run asks for more GPUs than this machine has. The notes list those that were found.",
    "no-processes": "A run needs at least one process.",
    "not-exact": "`--machine exact` computes the expected loss of linear models on random features, trained by plain "
    "SGD on Gaussian data with a power-law spectrum. It executes no other plan: train it with `--machine torch`.",
    "no-weights": "The exact machine computes the expected loss of a plan and keeps no weights, so there is nothing to "
    "export. A run of the machine `torch` has weights.",
    "other-machine": "The folder contains a run of another machine. Expected losses of `--machine exact` and losses of "
    "a trained run do not belong in one log or one table. Choose another folder, or name that machine.",
    "one-process": "The exact machine runs in one process on the CPU. A run takes seconds.",
    "contradicting-devices": "`--gpus N` starts N processes with one GPU each. It cannot be combined with `--device "
    "cpu` or with a different number of `--processes`. Processes of a launcher such as `srun` start no others.",
    "bad-launch": "A launcher started several processes, which would each train the same alone. With `torchrun`, RANK, "
    "WORLD_SIZE, MASTER_ADDR and MASTER_PORT are set, and all but the address are whole numbers. With `srun`, they are "
    "the tasks of one job step. Commands that start runs of their own are started once.",
    "worker-lost": "A process of the run ended without an error message, so the others were stopped. Continue with "
    "`--resume`; `torchrun --max-restarts` does so itself.",
    "run-exists": "The folder already contains a run. Continue it with `shapeflow run FOLDER --resume`, or use a "
    "different folder.",
    "run-removed": "The folder of a run was removed or moved during the run, which has ended, since it has no place to "
    "save to. A folder that was moved can be continued where it is.",
    "run-busy": "Another process is running in this folder.",
    "run-failed": "A run of a sweep or a comparison failed. The note shows its output.",
    "no-run": "The folder does not contain a run: it has no plan. `--resume` starts a run in an empty folder, and not "
    "in one that contains other files.",
    "broken-comparison": "The file `comparison.json` was changed or truncated after `shapeflow compare` wrote it. "
    "Start the comparison again: it keeps finished runs.",
    "broken-log": "A line of a run's log cannot be read. Only the last line may be truncated.",
    "rival-left-out": "A warning: `shapeflow compare` trains the default rivals that the file allows. This one cannot "
    "be trained, for the reason that is given. Name the rivals with `--rival` to choose others.",
    "not-in-plan": "A compiled plan contains the shapes in which it trains, and nothing about its other candidates. "
    "Pass the `.shape` file to train these.",
    "allowance-too-small": "`shapeflow ask` may not train even very short runs of all candidates within `--within`.",
    "other-plan": "The folder contains a run of a different plan. Use a different folder, or continue that plan with "
    "`shapeflow run FOLDER --resume`.",
    "other-history": "A run goes on under another plan only if both make the same steps up to the checkpoint: the same "
    "model, data, seed, optimizer, stages, blends, switches and learning rates. What is evaluated and saved need not "
    "agree, and neither does what comes later, such as the budget or a cooldown.",
    "data-changed": "The data has changed since the run began. Resuming would mix two data sets.",
    "no-such-model": "The backend has no module for the plan's model.",
    "no-such-data": "The backend cannot read the plan's data.",
    "no-such-optimizer": "The backend does not support this optimizer; it must know how to map the optimizer's state "
    "at a switch.",
    "no-such-objective": "The backend does not support the plan's objective.",
    "no-prefix-mask": "The objective needs a prefix attention mask, and the backend's module of the model does not "
    "support one. Denoising needs a `transformer`.",
    "no-such-view": "The plan reads a parameter through a view that the backend's model does not support: a mistake in "
    "the backend.",
    "wrong-parameters": "The parameters of the backend's module differ from the declared ones: a mistake in the model.",
    "data-missing": "The data's files are missing. The help says where to get them.",
    "data-mismatch": "The number of classes or images of the data differs from the `.shape` file. Compiling does not "
    "read the data, so the file must state them; correct the file, or the data.",
    "broken-image": "A file with the extension of an image cannot be read as one, or has more than 8 bits per channel. "
    "Remove it, or save it again.",
    "broken-tokens": "A token file does not match its header: it was truncated, changed or replaced. Create it "
    "again with `shapeflow tokenize`; both files belong together.",
    "other-tokens": "A token file has a different vocabulary, or a different end-of-document token, than the "
    "setting or the compiled plan: it was made with a different tokenizer. Compile again, or name the intended file.",
    "tokens-exist": "`shapeflow tokenize` does not overwrite a token file: it may have taken hours, and runs may "
    "be reading it. Choose a different name, or remove the file first.",
    "no-tokenizer": "A tokenizer is a `tokenizer.json` of the library `tokenizers`, a folder that contains one, "
    "or `bytes`.",
    "other-tokenizer": "A run does not keep the tokenizer of its tokens, only its name and digest. `generate` needs "
    "this file, and no other. Runs on bytes need none.",
    "not-text": "`generate` continues text, and the run trained a model of something else.",
    "no-prompt": "A language model predicts the token after others, so there must be one.",
    "unknown-token": "The tokenizer does not have the token that should end documents, or none with a common name. "
    "Name one with `--end`.",
    "no-text": "The sources contain no documents. The notes list what was skipped, with the reasons.",
    "missing-extra": "This needs a package that is not installed. The help shows how to install it.",
    "no-such-tracker": "`--track` and `--to` take `tensorboard`, `wandb`, `mlflow`, `trackio`, or `PACKAGE:CLASS` of a "
    "class that has the methods of `shapeflow.tracking.Tracker` and is called without arguments.",
    "tracker-failed": "A tracker raised an error. It gets nothing more of the run, which goes on. `shapeflow track` "
    "sends the whole run later, from its log.",
    "context-too-long": "The training or held-out text is shorter than the longest context. Use a longer text or "
    "shorter contexts.",
    "too-little-held-out": "The plan evaluates on more held-out data than there is, or on less than one window of the "
    "longest context. The help says which numbers work.",
    "batch-not-divisible": "Every process takes an equal part of each step, so the number of samples of every stage "
    "must be divisible by the number of processes. The help lists numbers that work.",
    "too-many-entries": "A folder or a pattern leads to more files and folders than are looked at, such as a whole "
    "disk. `docs/security.md` lists the limits, and the environment variables that set them.",
    "wrong-bound": "An environment variable that raises a limit is not a whole number. `docs/security.md` lists them.",
    "out-of-memory": "A step, a switch or an evaluation needed more memory than there is. The weights of the last step "
    "that was done are saved, unless the update itself failed. Resume with a smaller `--micro-batch`, or with "
    "`--checkpoint-activations`: neither changes what a step computes. `docs/memory.md` explains what needs memory.",
    "does-not-fit": "By the estimate, a step of some stage needs more memory than is free, however it is cut. On a CPU "
    "the system kills such a run without a checkpoint, so `--micro-batch auto` does not start it.",
    "memory-unknown": "`--micro-batch auto` compares an estimate with the memory that is free. The model does not "
    "declare what a step keeps (`activations`), or the system does not say how much is free. Write a number.",
    "loss-not-finite": "The loss, a held-out value or a weight became infinite or NaN: training has diverged. No "
    "checkpoint of that state is saved. Lower the learning rate or lengthen the warm-up, and go on from the last "
    "checkpoint with a plan that does.",
    "no-such-switch": "Switches are counted from 0: switch 0 leads into the second stage. `Step.switch` has "
    "the number.",
    "unfit-model": "The module is not the plan's model in the sizes of the stage, or computes something else. The "
    "message names its tensors, or the key of its config. Nothing was changed.",
    "unfit-optimizer": "It is not known how the optimizer's state follows a switch. Nothing was changed.",
    "unfit-plan": "The plan asks for something that `grow` or a trainer's callback does not do. "
    "`shapeflow run` does it.",
    "unfit-trainer": "A trainer has a setting with which it would not carry out the plan. The help names the setting.",
    "unsupported-version": "A package has a version that shapeflow does not work with, or lacks a name that it "
    "relies on. The help says which version to install.",
    "wrapped-module": "A module that is compiled, or wrapped to be shared by processes, keeps what it knows of its old "
    "tensors. Carry out the switch on the module itself, and wrap it again. Nothing was changed.",
    "other-world": "A sampler shares each step among a number of processes, and another number is running, or its rank "
    "is not one of them. Make it again in each process; a step's samples do not depend on their number.",
    "no-such-step": "Steps are whole numbers, counted from 0. The help gives the last one of the plan.",
    "no-checkpoint": "There is no checkpoint to resume from, or none at that step.",
    "broken-checkpoint": "The checkpoint is incomplete or damaged. Resume from an older one.",
    "not-carried": "The trainer that `shapeflow emit` writes for cannot do this part of the plan. The message has the "
    "first step that would differ. `--partly` leaves it out, and says so in the file.",
    "cannot-emit": "The trainer does not train what the plan trains, such as images, or a fact that was given does not "
    "fit the trainer.",
    "missing-fact": "The trainer needs a number or a name that the plan does not have. The help has the option.",
    "unknown-target": "`shapeflow emit` does not write for this trainer. `shapeflow emit --help` lists those it knows.",
    "folder-in-use": "`shapeflow emit` and `shapeflow export --as` write to a new or an empty folder, so that no file "
    "of yours is lost.",
    "cannot-export": "The other library's model does not compute what the run's model does, so its folder would hold "
    "other logits. `shapeflow export --as shapeflow` holds any model.",
    "cannot-import": "No model of ours computes what the model of the other library does, or its files are not whole, "
    "or not safetensors. The message names the tensor or the key of the config. Nothing is written.",
    "foreign-checkpoint": "The checkpoint was made by a plan that this run has never followed.",
}

_ALL = (_SENTENCES, _VALUES, _COMPONENTS, _SHAPES, _THEORY, _LOGS, _WAYS, _SWITCHES, _FILES, _RUNS)

CODES: Mapping[str, str] = dict(sorted((code, text) for codes in _ALL for code, text in codes.items()))
"""Code -> one to three sentences, in alphabetical order."""
