"""The model for form mode: pysunspec2 reads the same out of it, and one write carries what a command needs, the commit last."""

from __future__ import annotations

import sunspec2.device as oracle

from mimctl.wire.sunspec_image import ModelContent, build_chain
from mimctl.wire.sunspec_keys import MIM_CONTROL, MIM_FORM, MIM_MEASUREMENT
from mimctl.wire.sunspec_map import register_map_of
from mimctl.wire.sunspec_models import model_directories, vendor_model_id
from mimctl.wire.writes import encode_setpoint

VALUES = {"V_SF": -1, "Hz_SF": -2, "Ang_SF": -2, "FmTms": 10, "V": 229.5, "Hz": 50.2, "Ang": -119.5}
COMMIT = {"Cmt.Mode": 1, "Cmt.CtlHb": 70000, "Cmt.SeqCmd": 7}
ZEROS = {"W_SF": 0, "Pct_SF": 0, "WdAct": 1, "WdTms": 10, "Cmt.Ena": 0, "Cmt.CtlHb": 0, "Cmt.SeqCmd": 0, "Ph[0].W": 0}
ZEROS |= {"Ph[0].Var": 0}


def chain(*forming: ModelContent):
    contents = [
        ModelContent(1, {"Mn": "ACME"}),
        ModelContent(vendor_model_id(MIM_MEASUREMENT), {}, {"NPh": 1}),
        ModelContent(vendor_model_id(MIM_CONTROL), ZEROS, {"NPh": 1}),
        *forming,
    ]
    return build_chain(contents)


def test_pysunspec2_reads_what_was_written():
    data, found = chain(ModelContent(vendor_model_id(MIM_FORM), VALUES | COMMIT))
    block = found.models[-1]
    start = 2 * (block.address - found.base)
    before = oracle.get_model_defs_path()
    oracle.set_model_defs_path([str(model_directories()[0]), oracle.models_dir])
    try:
        model = oracle.Model(model_id=block.id, model_len=block.length, data=bytes(data[start : start + 2 * block.length + 4]))
    finally:
        oracle.set_model_defs_path(before)
    assert not model.error_info
    assert (model.points["V"].cvalue, model.points["Hz"].cvalue, model.points["Ang"].cvalue) == (229.5, 50.2, -119.5)
    commit = model.groups["Cmt"].points
    assert {name: commit[name].value for name in ("Mode", "CtlHb", "SeqCmd")} == {"Mode": 1, "CtlHb": 70000, "SeqCmd": 7}


def test_its_map_is_one_write_with_the_commit_last():
    _, found = chain(ModelContent(vendor_model_id(MIM_FORM), VALUES | COMMIT))
    forms = register_map_of(found.models, "mim").mim.form
    assert forms.command.count == 9
    assert forms.command.address == forms.validity.address
    assert forms.sequence.end == forms.command.end
    order = [forms.validity, forms.voltage, forms.frequency, forms.angle, forms.mode, forms.heartbeat, forms.sequence]
    assert [point.address for point in order] == sorted(point.address for point in order)
    assert encode_setpoint("mim", forms.voltage, 229.57, -1) == (2295).to_bytes(2, "big"), "never more than was judged"


def test_a_mim_without_it_cannot_form():
    _, found = chain()
    assert register_map_of(found.models, "mim").mim.form is None
