"""A language model: its file, its text, what it computes, and how it is trained to answer about pictures."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from artoveq.cli import app
from artoveq.evaluation import evaluate, evaluate_through_server, stream
from artoveq.exporting import export_measured
from artoveq.judging import judge
from edge_client import Client
from tests.inference_server.serving import serving
from tests.training.asked import FewBlocks, write_questions
from tests.training.asked import recipe as picture_recipe
from tests.training.spoken import HIDDEN, LAYERS, WIDTH, install_language_model
from training.backbones import BACKBONES
from training.data import Split, load_split
from training.language import training as of
from training.language.export import export
from training.language.model import LanguageModel
from training.language.recipe import LanguageRecipe, read_language_recipe, speaks
from training.language.samples import Texts
from training.language.sentences import sentence
from training.language.speaker import Speaker, loss_of, scores_of
from training.language.training import train, trained, untrained
from training.recipe import checked, read_recipe
from training.stages import train as train_picture
from training.views import Batch
from wire.artifact import load_artifact
from wire.base import SMOLLM2, base_file, read_base
from wire.exceptions import ArtifactError, CheckpointError, DataError, RecipeError, TrainingError, UsageError
from wire.language import Vocabulary, opened, vocabulary_of
from wire.manifest import Base

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def patch() -> Iterator[pytest.MonkeyPatch]:
    with pytest.MonkeyPatch.context() as patch:
        yield patch


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, patch: pytest.MonkeyPatch) -> Base:
    patch.setitem(BACKBONES, "few blocks", FewBlocks())
    return install_language_model(tmp_path_factory.mktemp("language"), patch)


@pytest.fixture(scope="module")
def vocabulary(base: Base) -> Vocabulary:
    return vocabulary_of(base_file(base))


@pytest.fixture(scope="module")
def weights(base: Base) -> dict[str, torch.Tensor]:
    return {name: torch.tensor(tensor) for name, tensor in read_base(base).items()}


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_published_weights_speak() -> None:
    try:
        weights = {name: torch.tensor(tensor) for name, tensor in read_base(SMOLLM2).items()}
    except ArtifactError as error:
        pytest.skip(str(error))
    vocabulary, model = vocabulary_of(base_file(SMOLLM2)), LanguageModel(weights)
    with torch.inference_mode():
        hidden, _ = model(model.embed(torch.tensor([vocabulary.encode("The capital of France is")])))
        assert vocabulary.decode([int(model.logits(hidden[0, -1]).argmax())]) == " Paris"


@pytest.mark.parametrize("text", ["is it red?\n", "Что это? 日本語 👋", "<start>a<end>", "1984", " ", ""])
def test_any_text_is_tokens_and_comes_back(vocabulary: Vocabulary, text: str) -> None:
    tokens = vocabulary.encode(text)
    assert vocabulary.decode(tokens) == text and not {vocabulary.start, vocabulary.end} & {*tokens}


def test_pairs_are_merged_and_digits_are_not(vocabulary: Vocabulary) -> None:
    assert len(vocabulary.encode("a is")) == 2 and len(vocabulary.encode("2024")) == 4


def test_a_missing_library_is_said_with_what_installs_it(base: Base, monkeypatch: pytest.MonkeyPatch) -> None:
    for library in ("gguf", "tokenizers"):
        opened.cache_clear()
        with monkeypatch.context() as without:
            without.setitem(sys.modules, library, None)
            with pytest.raises(ArtifactError, match=rf"{library}.*`pip install 'artoveq\[llm\]'`"):
                vocabulary_of(base_file(base))


def test_tensors_may_be_given_to_torch(base: Base) -> None:
    assert all(tensor.flags.writeable and tensor.dtype == np.float32 for tensor in read_base(base).values())


def test_tokens_one_by_one_are_as_all_at_once(weights: dict[str, torch.Tensor]) -> None:
    model, tokens = LanguageModel(weights), torch.randint(3, 200, (2, 7))
    assert len(model.blk) == LAYERS and model.width == WIDTH and model.blk[0].ffn_up.out_features == HIDDEN  # type: ignore[union-attr]
    with torch.no_grad():
        together, _ = model(model.embed(tokens))
        hidden, cache = model(model.embed(tokens[:, :3]))
        parts = [hidden]
        for place in range(3, 7):
            hidden, cache = model(model.embed(tokens[:, place : place + 1]), cache)
            parts.append(hidden)
    torch.testing.assert_close(torch.cat(parts, 1), together)
    assert cache[0][0].shape[2] == 7


def test_adapters_begin_as_nothing_and_are_all_that_is_trained(weights: dict[str, torch.Tensor]) -> None:
    torch.manual_seed(0)
    plain, adapted = LanguageModel(weights), LanguageModel(weights, rank=2)
    x = plain.embed(torch.randint(3, 200, (1, 5)))
    with torch.no_grad():
        torch.testing.assert_close(adapted(x)[0], plain(x)[0])
    names = {name for name, p in adapted.named_parameters() if p.requires_grad}
    layers = ("attn_q", "attn_k", "attn_v", "attn_output")
    assert names == {f"blk.{n}.{of}.{part}" for n in range(LAYERS) for of in layers for part in ("up", "down")}


@pytest.mark.parametrize(
    ("question", "answer", "said"),
    [
        ("is there a red shape in the image?", "yes", "Yes, there is a red shape."),
        ("is there a circle?", "no", "No, there is no circle."),
        ("is there not a circle in the image?", "yes", "Yes, there is no circle."),
        ("does the image not contain a teal shape?", "no", "No, there is a teal shape."),
        ("is no rectangle present?", "no", "No, there is a rectangle."),
        ("what color is the shape?", "teal", "The shape is teal."),
        ("what is the color of the circle?", "red", "The circle is red."),
        ("what is the blue shape?", "triangle", "The blue shape is a triangle."),
        ("what shape does the image contain?", "circle", "The shape is a circle."),
        ("how many are there?", "two", "two"),
        ("is this a beagle or a dingo?", "dingo", "dingo"),
    ],
)
def test_answers_are_sentences(question: str, answer: str, said: str) -> None:
    assert sentence(question, answer) == said


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> str:
    return write_questions(tmp_path_factory.mktemp("questions"))


@pytest.fixture(scope="module")
def texts(data: str, vocabulary: Vocabulary) -> Texts:
    questions = load_split(data, "train").questions
    assert questions is not None
    return Texts(questions, vocabulary)


def test_samples_are_question_answer_and_end(data: str, texts: Texts, vocabulary: Vocabulary) -> None:
    split = load_split(data, "train")
    assert split.asked is not None
    samples = texts.samples(torch.from_numpy(split.asked[:2]), torch.from_numpy(split.labels[:2]))
    assert samples.pictures.tolist() == [0, 0, 1, 1, 1]  # the first picture has two questions
    for tokens, answer in zip(samples.tokens, samples.answers, strict=True):
        question, _, said = vocabulary.decode(tokens.tolist()).partition("\n")
        assert question in ("what color is it?", "is it red?", "is it blue?")
        assert vocabulary.decode(tokens[answer].tolist()[:-1]) in ("red", "blue", "yes", "no")
        assert tokens[answer][-1] == vocabulary.end and said.startswith(vocabulary.decode(tokens[answer].tolist()[:-1]))
    torch.manual_seed(0)
    written = {
        vocabulary.decode(tokens.tolist()).partition("\n")[0]
        for _ in range(20)
        for tokens in texts.samples(
            torch.from_numpy(split.asked[:1]), torch.from_numpy(split.labels[:1]), varied=True
        ).tokens
    }
    assert written >= {"what color is it?", "What color is it?", "what color is it", "What color is it"}


def test_an_answer_depends_on_its_own_picture_and_question_alone(
    data: str, texts: Texts, weights: dict[str, torch.Tensor]
) -> None:
    torch.manual_seed(0)
    split = load_split(data, "train")
    assert split.asked is not None
    speaker, tokens = Speaker(24, weights, 2, 1).eval(), torch.randn(2, 4, 24)
    questions, labels = torch.from_numpy(split.asked[:2]), torch.from_numpy(split.labels[:2])
    with torch.no_grad():
        both, alone = (texts.samples(questions[n:], labels[n:]) for n in (0, 1))
        logits, of_second = speaker(tokens, both), speaker(tokens[1:], alone)
        torch.testing.assert_close(logits[-len(of_second) :], of_second, atol=1e-4, rtol=1e-4)
        assert not torch.allclose(logits, speaker(tokens.roll(1, 0), both), atol=1e-3)


def test_an_answer_is_right_where_every_token_of_it_is_the_likeliest(data: str, texts: Texts) -> None:
    split = load_split(data, "train")
    assert split.asked is not None
    samples = texts.samples(torch.from_numpy(split.asked[:1]), torch.from_numpy(split.labels[:1]))
    target = samples.tokens[samples.answers]
    logits = 9 * torch.nn.functional.one_hot(target, 262).float()
    assert scores_of(logits, samples)[0].tolist() == [1, 1] and scores_of(logits, samples)[1].max() < 0.2
    logits[-1] = -logits[-1]  # of the end of the second
    right, nll = scores_of(logits, samples)
    assert right.tolist() == [1, 0] and nll[1] > 9 > nll[0]
    assert float(nll.sum() / len(target)) == pytest.approx(float(loss_of(logits, samples)))


def recipe(**changes: Any) -> LanguageRecipe:
    values = {
        "name": "spoken", "picture": picture_recipe(), "language_model": "tiny", "epochs": 16, "batch": 8,
        "adapter_rate": 1e-2, "projector_rate": 1e-2,
    }  # fmt: skip
    return checked(LanguageRecipe, {**values, **changes}, "spoken")


@pytest.fixture(scope="module")
def runs(data: str, base: Base, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With the picture's half."""
    folder, threads = tmp_path_factory.mktemp("runs"), torch.get_num_threads()
    torch.set_num_threads(1)  # two that wait for each other on a busy machine take many times as long
    train_picture(picture_recipe(), load_split(data, "train"), folder, weights_file=None, device=CPU)
    torch.set_num_threads(threads)
    return folder


@pytest.mark.training
def test_it_learns_to_answer_about_pictures(data: str, runs: Path) -> None:
    pair = train(recipe(), load_split(data, "train"), runs, CPU)
    before = untrained(recipe(), load_split(data, "train"), runs, CPU)
    frozen = {name for name, p in before.speaker.named_parameters() if not p.requires_grad}
    after = dict(pair.speaker.named_parameters())
    assert all(torch.equal(p, after[name]) for name, p in before.speaker.named_parameters() if name in frozen)
    state = before.picture.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in pair.picture.state_dict().items())
    test = load_split(data, "test")
    assert test.asked is not None
    pictures = torch.from_numpy(np.stack([test.picture(i) for i in range(len(test))])).permute(0, 3, 1, 2) / 255
    batch = Batch(pictures, torch.from_numpy(test.labels), questions=torch.from_numpy(test.asked))
    again, _ = trained(recipe(), load_split(data, "train"), runs)
    for point in pair.picture.codebook.points():
        right, nll = pair.scores(batch, point)
        assert float(right.mean()) > 0.8 and len(right) == len(test.answers)
        torch.testing.assert_close(again.scores(batch, point)[1], nll)
    others = replace(batch, pictures=pictures.roll(1, 0))
    assert float(pair.scores(others, point)[0].mean()) < 0.7


@pytest.mark.training
def test_it_goes_on_within_an_epoch_where_it_stopped(data: str, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    split, few = load_split(data, "train"), {"epochs": 2}
    whole = train(recipe(name="whole", **few), split, runs, CPU).speaker.trained()
    monkeypatch.setattr(of, "CHECKPOINT_MINUTES", 0.0)
    save, saved = of.save_checkpoint, []

    def stopped(path: Path, key: str, state: dict[str, Any]) -> None:
        save(path, key, state)
        saved.append((state["epoch"], state["step"]))
        if len(saved) == 10:
            raise KeyboardInterrupt

    monkeypatch.setattr(of, "save_checkpoint", stopped)
    with pytest.raises(KeyboardInterrupt):
        train(recipe(name="parts", **few), split, runs, CPU)
    assert saved[-1][1] > 0  # amid an epoch
    with pytest.raises(TrainingError, match="not trained to its end"):
        trained(recipe(name="parts", **few), split, runs)
    parts = train(recipe(name="parts", **few), split, runs, CPU).speaker.trained()
    assert all(torch.equal(p, whole[name]) for name, p in parts.items())
    with pytest.raises(CheckpointError, match="another recipe"):
        trained(recipe(name="parts", epochs=3), split, runs)


@pytest.mark.training
def test_the_command_trains_what_a_recipe_file_says(data: str, runs: Path, tmp_path: Path) -> None:
    (tmp_path / "said.toml").write_text('name = "said"\npicture = "asked"\nlanguage_model = "tiny"\nepochs = 1\n')
    values = picture_recipe().model_dump(mode="json", exclude_none=True)
    written = [f"{key} = {json.dumps(value)}" for key, value in values.items() if not isinstance(value, dict)]
    for table, of_table in ((key, value) for key, value in values.items() if isinstance(value, dict)):
        written += [f"[{table}]", *(f"{key} = {json.dumps(value)}" for key, value in of_table.items())]
    (tmp_path / "asked.toml").write_text("\n".join(written))
    assert read_recipe(tmp_path / "asked.toml") == picture_recipe()
    run = CliRunner().invoke(app, ["train", str(tmp_path / "said.toml"), "--data", data, "--runs", str(runs)])
    assert run.exit_code == 0, run.output
    _, minutes = trained(read_language_recipe(tmp_path / "said.toml"), load_split(data, "train"), runs)
    assert minutes > 0


@pytest.mark.training
@pytest.mark.filterwarnings("ignore")  # of torch's exporter
def test_it_is_exported_served_and_says_what_it_learned(data: str, runs: Path, tmp_path: Path) -> None:
    split, test, models = load_split(data, "train"), load_split(data, "test"), tmp_path / "models"
    with pytest.raises(UsageError, match=r"There is no .*asked, whose pictures spoken is asked about; export that"):
        export(recipe(), runs, split, test, models)
    picture = export_measured(picture_recipe(), runs, split, test, models / "asked")
    train(recipe(), split, runs, CPU)
    artifact = export(recipe(), runs, split, test, models)
    manifest = artifact.manifest
    assert load_artifact(artifact.folder).manifest == manifest and manifest.base is not None
    assert manifest.planes == picture.manifest.planes and manifest.task.free_text is not None
    assert [one.sizes for one in manifest.points] == [one.sizes for one in picture.manifest.points]
    assert manifest.points[-1].metric > 0.8 and manifest.unquantised_metric > 0.8
    levels = {1, *manifest.levels.values()}
    assert [one.interpolated for one in manifest.points] == [
        n not in levels for n in range(1, 1 + len(manifest.points))
    ]
    with pytest.raises(UsageError, match="of another recipe than other was trained beside"):
        export(recipe(name="other", picture=picture_recipe(batch=4)), runs, split, test, models)
    right, whole = 0, split.questions
    with serving(artifact.folder) as server, Client(server.address) as client:
        for n in range(4):
            for question, label in zip(questions_of(test, n), test.labels[n], strict=False):
                found = client.ask(test.picture(n), question, budget="20s").answers[-1]
                assert whole is not None and found.final and 0 < found.confidence <= 1
                right += found.reply.text == sentence(question, whole.answers[label])
    assert right >= 8  # of 10
    with pytest.raises(UsageError, match="answers in free text, which a server says"):
        evaluate(artifact, test)
    with serving(artifact.folder) as server:
        rows = asyncio.run(stream(server.address, artifact, test, judge(manifest, test)))
    assert [row["point"] for row in rows] == sorted(levels) and rows[-1]["accuracy"] > 0.8
    with pytest.raises(DataError, match="spoken answers questions, and none come with these pictures"):
        evaluate_through_server(artifact, Split(test.classes, test.sources, test.labels[:, 0]))


def questions_of(split: Split, picture: int) -> list[str]:
    assert split.questions is not None and split.asked is not None
    words = split.questions.vocabulary
    return [" ".join(words[n - 1] for n in asked if n) + "?" for asked in split.asked[picture] if asked.any()]


def test_what_is_missing_is_said(data: str, base: Base, tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match=r"no checkpoint .* run `artoveq train` first"):
        untrained(recipe(), load_split(data, "train"), tmp_path, CPU)
    file = tmp_path / "said.toml"
    file.write_text('name = "said"\npicture = "other"\nepochs = 1\n')
    assert speaks(file)
    with pytest.raises(RecipeError, match=r"other\.toml cannot be read"):
        read_language_recipe(file)
    with pytest.raises(RecipeError, match="should be one of smollm2, tiny, not 'gpt'"):
        recipe(language_model="gpt")
    shipped = [path for path in Path("training/recipes").glob("*.toml") if speaks(path)]
    assert [read_language_recipe(path).name for path in shipped] == [path.stem for path in shipped] != []
