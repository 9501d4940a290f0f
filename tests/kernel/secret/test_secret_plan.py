"""kernel.secret.plan: what a plan message says of layers on shares, and each refusal."""

import math
from functools import reduce

import pytest

from kernel.errors import SettingsError, WireError
from kernel.secret.plan import gradient_shift, is_secret, secret_spec, without_server
from kernel.secret.spec import SecretLayer, StepSize
from protos.v1 import plan_pb2

SQUARE = plan_pb2.SECRET_ACTIVATION_SQUARE


def plan(layers=((8, SQUARE, 8.0),), *, without=False, **more):
    """A plan of two parties' layers on shares; ``more`` sets fields of it."""
    message = plan_pb2.RunPlan(
        job=plan_pb2.JOB_KIND_SPLIT_NN,
        protocol=plan_pb2.FIRST_LAYER_PROTOCOL_BEAVER,
        ring=plan_pb2.RingPlan(ring_bits=64, fractional_bits=18),
        batch_rows=100,
        micro_batches=1,
        gradient=plan_pb2.GRADIENT_FORM_SHARED,
    )
    message.network.widths.extend([] if without else [6, 4])
    message.network.outputs, message.network.loss = 3, "multiclass"
    message.network.optimizer.name, message.network.optimizer.learning_rate = "sgd", 0.125
    if without:
        message.head_interval = 8.0
    for width, activation, interval in layers:
        message.secret_layers.add(width=width, activation=activation, interval=interval)
    for name, value in more.items():
        *path, last = name.split("__")
        setattr(reduce(getattr, path, message), last, value)
    return message


def test_all_that_is_said_is_read():
    message = plan(
        (
            (9, plan_pb2.SECRET_ACTIVATION_IDENTITY, 4.0),
            (8, SQUARE, 8.0),
            (7, plan_pb2.SECRET_ACTIVATION_POLY3_SIGMOID, 16.0),
            (5, plan_pb2.SECRET_ACTIVATION_POLY3_RELU, 32.0),
        ),
        weights=plan_pb2.WEIGHTS_FORM_SHARED,
    )
    spec = secret_spec(message, 20)
    assert spec.layers == (
        SecretLayer(9, "identity", 4.0),
        SecretLayer(8, "square", 8.0),
        SecretLayer(7, "poly3", 16.0, "sigmoid"),
        SecretLayer(5, "poly3", 32.0, "relu"),
    )
    assert spec.widths == (20, 9, 8, 7, 5, 6)
    assert spec.depth == 5
    assert (spec.gradient, spec.weights, spec.fractional_bits, spec.gradient_shift) == ("shared", "shared", 18, 7)
    assert (spec.step_size, spec.momentum, spec.head) == (StepSize(1, 3), None, "")
    assert [spec.weights_shared(number) for number in range(1, 6)] == [True] * 5
    assert [spec.has_bias(number) for number in range(1, 6)] == [True] * 4 + [False]


def test_first_layer_weights_are_a_party_s_own_by_default():
    spec = secret_spec(plan(gradient=plan_pb2.GRADIENT_FORM_UNSPECIFIED), 20)
    assert (spec.gradient, spec.weights) == ("open", "own")
    assert [spec.weights_shared(number) for number in (1, 2)] == [False, True]


@pytest.mark.parametrize(("loss", "outputs"), [("binary", 1), ("multiclass", 3)])
def test_without_a_server_the_cut_is_the_label_head(loss, outputs):
    message = plan(without=True, network__loss=loss, network__outputs=outputs, head_interval=4.0)
    assert without_server(message)
    spec = secret_spec(message, 20)
    assert (spec.head, spec.head_interval, spec.cut_width, spec.depth) == (loss, 4.0, outputs, 2)
    assert spec.has_bias(2)


@pytest.mark.parametrize(
    ("message", "secret"),
    [
        (plan(), True),
        (plan((), without=True), True),
        (plan(()), True),
        (plan((), gradient=plan_pb2.GRADIENT_FORM_UNSPECIFIED, weights=plan_pb2.WEIGHTS_FORM_SHARED), True),
        (plan((), gradient=plan_pb2.GRADIENT_FORM_UNSPECIFIED), False),
        (plan((), gradient=plan_pb2.GRADIENT_FORM_UNSPECIFIED, without=True, job=plan_pb2.JOB_KIND_UNSPECIFIED), False),
    ],
)
def test_is_secret(message, secret):
    assert is_secret(message) is secret


@pytest.mark.parametrize(
    ("rows", "shift"), [(1, 0), (2, 1), (3, 2), (4, 2), (5, 3), (5000, 13), (8192, 13), (8193, 14)]
)
def test_gradient_shift_covers_the_batch(rows, shift):
    assert gradient_shift(rows) == shift
    assert rows <= 2**shift < 2 * rows


@pytest.mark.parametrize(
    ("momentum", "found"),
    [(0.875, StepSize(7, 3)), (0.5, StepSize(1, 1)), (0.0, None)],
)
def test_momentum(momentum, found):
    message = plan(network__optimizer__name="momentum", network__optimizer__momentum=momentum)
    assert secret_spec(message, 20).momentum == found


def test_a_whole_momentum_still_has_a_truncation():
    """Of one bit: a shift of none cannot be had."""
    found = secret_spec(plan(network__optimizer__name="momentum", network__optimizer__momentum=1.0), 20).momentum
    assert found == StepSize(2, 1)
    assert math.isclose(found.value, 1.0)


def test_a_block_in_the_clear_takes_any_optimizer():
    message = plan((), network__optimizer__name="adam", network__optimizer__learning_rate=0.001)
    assert secret_spec(message, 20).momentum is None


@pytest.mark.parametrize(
    ("change", "error", "sentence"),
    [
        ({"layers": ((8, 0, 8.0),)}, WireError, "secret layer 1 names no activation that shares can compute"),
        ({"layers": ((8, 9, 8.0),)}, WireError, "secret layer 1 names no activation that shares can compute"),
        (
            {"layers": ((8, SQUARE, 8.0), (0, SQUARE, 8.0))},
            WireError,
            "secret layer 2 is 0 wide; 1 to 65536 can be built",
        ),
        ({"layers": ((65537, SQUARE, 8.0),)}, WireError, "secret layer 1 is 65537 wide"),
        ({"layers": ((8, SQUARE, 3.0),)}, WireError, "secret layer 1 has interval 3; a power of two from 1 to 1024"),
        ({"layers": ((8, SQUARE, 0.5),)}, WireError, "secret layer 1 has interval 0.5"),
        ({"layers": ((8, SQUARE, 2048.0),)}, WireError, "secret layer 1 has interval 2048"),
        ({"layers": ((8, SQUARE, math.nan),)}, WireError, "secret layer 1 has interval nan"),
        ({"layers": ((8, SQUARE, math.inf),)}, WireError, "secret layer 1 has interval inf"),
        ({"layers": ((8, SQUARE, 0.0),)}, WireError, "secret layer 1 has interval 0"),
        (
            {"layers": ((8, plan_pb2.SECRET_ACTIVATION_POLY3_SIGMOID, 64.0),)},
            SettingsError,
            "secret layer 1 .* use at most 32",
        ),
        (
            {"layers": ((8, plan_pb2.SECRET_ACTIVATION_POLY3_RELU, 512.0),)},
            SettingsError,
            "use a smaller interval or fewer",
        ),
        ({"gradient": 7}, WireError, "the plan asks for gradient 7 and weights 0; run one version everywhere"),
        ({"weights": 7}, WireError, "the plan asks for gradient 1 and weights 7"),
        (
            {"protocol": plan_pb2.FIRST_LAYER_PROTOCOL_MASKED_SUM},
            WireError,
            "take protocol beaver in a ring of 64 bits",
        ),
        ({"ring__ring_bits": 32}, WireError, "take protocol beaver in a ring of 64 bits"),
        ({"ring__fractional_bits": 7}, WireError, "take 8 to 20 fractional bits; this plan has 7"),
        ({"ring__fractional_bits": 21}, WireError, "take 8 to 20 fractional bits; this plan has 21"),
        ({"micro_batches": 2}, WireError, "this plan asks for 2 micro-batches"),
        ({"head_interval": 8.0}, WireError, "an interval for the label head exactly where there is no neutral server"),
        ({"without": True, "head_interval": 0.0}, WireError, "an interval for the label head exactly where"),
        ({"without": True, "head_interval": 3.0}, WireError, "the label head has interval 3; a power of two"),
        ({"without": True, "head_interval": 64.0}, SettingsError, "the label head has interval 64, on which no cubic"),
        (
            {"without": True, "gradient": plan_pb2.GRADIENT_FORM_UNSPECIFIED},
            WireError,
            "nobody to open a gradient; the plan must share it",
        ),
        (
            {"without": True, "network__loss": "hinge"},
            WireError,
            "the gradient of loss 'hinge' cannot be computed on shares",
        ),
        ({"network__optimizer__name": "adam"}, SettingsError, "optimizer adam cannot be had for weights on shares"),
        ({"network__optimizer__learning_rate": 0.1}, SettingsError, r"learning_rate = 0\.1 cannot be had on shares"),
        (
            {"network__optimizer__learning_rate": 2.0**-19},
            SettingsError,
            r"below the step of fixed point on shares, 2\^-18 = 3\.81e-06",
        ),
        ({"network__optimizer__learning_rate": 0.0}, SettingsError, "learning_rate = 0 is no step on shares"),
        (
            {"network__optimizer__name": "momentum", "network__optimizer__momentum": 0.9},
            SettingsError,
            r"momentum = 0\.9 cannot be had on shares.*0\.8984375 and 0\.90234375",
        ),
    ],
)
def test_refusals(change, error, sentence):
    with pytest.raises(error, match=sentence):
        secret_spec(plan(**change), 20)
