"""TF_CONFIG, strategies and what workers must agree on: read without TensorFlow's cluster."""

import copy
import json

import pytest

from keras_joslim.app.identity import disagreement, identity, source_digest
from keras_joslim.config_difference import first_difference
from keras_joslim.distribution.choice import checked_strategy, worker_index
from keras_joslim.distribution.cluster import Cluster
from keras_joslim.distribution.input import refuse_indivisible

ADDRESSES = ["10.0.0.1:2222", "10.0.0.2:2222"]


def environment(cluster=None, task=None):
    cluster = {"worker": ADDRESSES} if cluster is None else cluster
    task = {"type": "worker", "index": 1} if task is None else task
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


def test_workers_are_named_by_place_and_address():
    cluster = Cluster.from_environment(environment())
    assert (cluster.index, cluster.count) == (1, 2)
    assert cluster.name(0) == "worker 0 (10.0.0.1:2222)"
    assert cluster.jobs == {"worker": 2}


def test_a_chief_is_worker_0_and_an_index_may_be_text():
    jobs = {"worker": ADDRESSES, "chief": ["10.0.0.9:80"]}
    cluster = Cluster.from_environment(environment(jobs, {"type": "worker", "index": "1"}))
    assert (cluster.index, cluster.count) == (2, 3)
    assert cluster.name(0) == "worker 0 (10.0.0.9:80)"
    assert cluster.jobs == {"chief": 1, "worker": 2}


def test_an_ipv6_address_and_environment_of_the_process(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", environment({"worker": ["[::1]:99", "b:1"]})["TF_CONFIG"])
    assert Cluster.from_environment().name(0) == "worker 0 ([::1]:99)"


@pytest.mark.parametrize("text", [None, "", "  "])
def test_without_tf_config_the_message_has_an_example(text):
    given = {} if text is None else {"TF_CONFIG": text}
    with pytest.raises(ValueError, match="need the environment variable TF_CONFIG") as error:
        Cluster.from_environment(given)
    example = str(error.value).partition("TF_CONFIG='")[2].partition("'")[0]
    assert Cluster.from_environment({"TF_CONFIG": example}).count == 2


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"TF_CONFIG": "{'cluster': 1}"}, "Expecting property name"),
        ({"TF_CONFIG": "[]"}, "it is no object"),
        (environment(cluster={}), '"cluster" is missing'),
        (environment(cluster={"ps": ["a:1"]}), 'a job is "worker" or "chief", not \'ps\''),
        (environment(cluster={"worker": "a:1"}), '"worker" is no list of addresses'),
        (environment(cluster={"worker": ["a"]}), "an address is host:port, not 'a'"),
        (environment(cluster={"worker": ["a:70000"]}), "host:port, not 'a:70000'"),
        (environment(cluster={"worker": ["a:1", "a:1"]}), "a:1 is there twice"),
        (environment(cluster={"chief": ["a:1", "b:1"]}), "more than one chief"),
        (environment(task={"type": "worker"}), '"task" with its "type" and "index" is missing'),
        (environment(task={"type": "chief", "index": 0}), "of type 'chief', which"),
        (environment(task={"type": "worker", "index": 2}), "index is 2, and there are 2 of"),
        (environment(task={"type": "worker", "index": -1}), "index is -1"),
        (environment(task={"type": "worker", "index": True}), "index is True, no whole number"),
        (environment(task={"type": "worker", "index": 0.0}), "index is 0.0, no whole number"),
    ],
)
def test_a_tf_config_that_cannot_be_used_is_refused_with_an_example(given, message):
    with pytest.raises(ValueError, match="^TF_CONFIG cannot be used: ") as error:
        Cluster.from_environment(given)
    assert message in str(error.value)
    assert "Example: TF_CONFIG='{" in str(error.value)
    assert str(error.value).endswith(f"Received: {given['TF_CONFIG']}")


def test_strategies_that_cannot_be_had():
    assert checked_strategy("mirrored", {}) == "mirrored"
    assert checked_strategy("multi_worker", environment()) == "multi_worker"
    with pytest.raises(ValueError, match="docs/many_devices.md"):
        checked_strategy("tpu")
    with pytest.raises(ValueError, match="Received: strategy='ddp'"):
        checked_strategy("ddp")
    with pytest.raises(ValueError, match="TF_CONFIG"):
        checked_strategy("multi_worker", {})


def test_only_workers_of_several_have_a_number():
    assert worker_index("multi_worker", environment()) == 1
    assert worker_index("mirrored", environment()) == 0


CONFIG = {"train": {"epochs": 2, "augment": {"flip": False}}, "seed": 0}


def test_workers_alike_agree():
    own = identity(CONFIG, devices=1)
    assert own["code"]["sources"] == source_digest()
    assert len(source_digest()) == 12
    assert disagreement([own, json.loads(json.dumps(own)), own]) is None


def test_another_config_is_named_by_worker_and_field():
    own = identity(CONFIG, devices=1)
    other = copy.deepcopy(own)
    other["config"]["train"]["epochs"] = 3
    said = disagreement([own, own, other])
    assert said == ("worker 2 has train.epochs=3, worker 0 has 2. Start all with the same config")


def test_other_code_is_named_before_another_config():
    own = identity(CONFIG, devices=1)
    other = copy.deepcopy(own)
    other["config"]["seed"] = 1
    other["code"] |= {"tensorflow": "2.99.0", "sources": "0123456789ab"}
    said = disagreement([own, other])
    assert said.startswith("worker 1 runs keras_joslim ")
    assert "(sources 0123456789ab) with TensorFlow 2.99.0, Keras " in said
    assert (
        f"worker 0 keras_joslim {own['code']['keras_joslim']} (sources {source_digest()})" in said
    )
    assert "seed" not in said


def test_other_devices_are_told():
    said = disagreement([identity(CONFIG, 2), identity(CONFIG, 1)])
    assert said.startswith("worker 1 has 1 devices, worker 0 has 2.")


def test_the_first_difference_has_a_dotted_name():
    assert first_difference(CONFIG, CONFIG) is None
    other = {"train": {"epochs": 2, "augment": {"flip": True}}, "seed": 1}
    assert first_difference(CONFIG, other) == ("seed", 0, 1)
    assert first_difference({"train": CONFIG["train"]}, {"train": other["train"]}) == (
        "train.augment.flip",
        False,
        True,
    )
    assert first_difference({"a": None}, {}) == ("a", None, None)


def test_a_batch_that_does_not_divide_is_refused():
    refuse_indivisible(64, 4)
    with pytest.raises(ValueError, match="among 3 devices.*Received: train.batch_size=64"):
        refuse_indivisible(64, 3)
