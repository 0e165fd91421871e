"""What workers agree on besides the config, with workers that are made up."""

import pytest

from keras_joslim.app import many_devices
from keras_joslim.app.many_devices import agreed_stop, claim, refuse_other_steps
from keras_joslim.app.workdir import Workdir
from keras_joslim.distribution.workers import OneWorker


class Others(OneWorker):
    """Two more workers, whose part of every `gather` is given."""

    count = 3

    def __init__(self, *values):
        self.values, self.asked = values, 0

    def gather(self, value):
        self.asked += 1
        return [value, *self.values]


def test_all_stop_if_one_is_asked_to():
    now = [0.0]
    clock = pytest.MonkeyPatch()
    clock.setattr(many_devices.time, "monotonic", lambda: now[0])
    try:
        others = Others(False, True)
        stop = agreed_stop(lambda: False, others)
        # They are asked every other second, not at every step.
        assert not stop()
        assert others.asked == 0
        now[0] = 2.5
        assert stop()
        assert others.asked == 1
        quiet = Others(False, False)
        asked = [False]
        stop = agreed_stop(lambda: asked[0], quiet)
        now[0] = 6.0
        assert not stop()
        assert not stop()
        assert quiet.asked == 1
        asked[0] = True
        # Worker 0 itself is asked: at once.
        assert stop()
    finally:
        clock.undo()


def test_alone_it_is_its_own_business():
    def stop():
        return True

    assert agreed_stop(stop, OneWorker()) is stop


def test_a_worker_with_another_checkpoint_is_refused(tmp_path):
    workdir = Workdir(tmp_path)
    refuse_other_steps(workdir, 40, Others(40, 40))
    with pytest.raises(ValueError, match="Worker 2 has read the checkpoint of step 0, worker 0"):
        refuse_other_steps(workdir, 40, Others(40, 0))


def test_a_worker_that_does_not_see_the_folder_is_refused(tmp_path):
    claim(Workdir(tmp_path / "run"), {"seed": 0}, Others(True, True))
    assert Workdir(tmp_path / "run").config() == {"seed": 0}
    with pytest.raises(ValueError, match="Worker 1 does not see .*config.json.* share"):
        claim(Workdir(tmp_path / "run"), {"seed": 0}, Others(False, True))
