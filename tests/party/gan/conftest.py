"""Small nets of both kinds."""

import pytest
from small_gans import CONVOLUTIONAL, DENSE

from kernel.gan.spec import ImageShape


@pytest.fixture(params=[DENSE, CONVOLUTIONAL], ids=["dense", "convolutional"])
def spec(request):
    return request.param


@pytest.fixture
def image():
    return ImageShape(4, 4)
