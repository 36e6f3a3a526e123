import base64

import cv2
import numpy as np
import pytest

from segwright.labels import LabelSpace
from segwright.visualization import label_maps

LABELS = LabelSpace("two", ("sea", "land"), ((0, 0, 200), (0, 160, 0)), (0, 1))


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.int64])
def test_every_class_has_its_color_and_ignored_pixels_are_black(dtype):
    picture = label_maps.colorize(np.array([[0, 1, 255]], dtype=dtype), LABELS)
    assert picture.dtype == np.uint8
    assert picture.tolist() == [[[0, 0, 200], [0, 160, 0], [0, 0, 0]]]


def test_void_of_a_signed_map_is_black():
    assert not label_maps.colorize(np.array([[-1, 300]]), LABELS).any()


def test_overlay_mixes_by_alpha_inside_a_class():
    image = np.full((4, 4, 3), 100, dtype=np.uint8)
    classes = np.zeros((4, 4), dtype=np.uint8)
    assert label_maps.overlay(image, classes, LABELS, alpha=0.25)[1, 1].tolist() == [75, 75, 125]
    assert np.array_equal(label_maps.overlay(image, classes, LABELS, alpha=0.0), image)


def test_overlay_dims_the_image_where_there_is_no_class():
    image = np.full((3, 3, 3), 200, dtype=np.uint8)
    assert (label_maps.overlay(image, np.full((3, 3), 255), LABELS) == 80).all()


def test_overlay_darkens_the_border_between_classes_only():
    image = np.full((6, 6, 3), 200, dtype=np.uint8)
    classes = np.repeat([[0, 0, 0, 1, 1, 1]], 6, axis=0)
    brightness = label_maps.overlay(image, classes, LABELS).sum(2)[0].astype(int)
    assert brightness[2] < 0.5 * brightness[1]
    assert brightness[0] == brightness[1]
    assert brightness[3] == brightness[4]


def test_overlay_leaves_its_arguments_alone():
    image = np.full((4, 4, 3), 200, dtype=np.uint8)
    classes = np.eye(4, dtype=np.uint8)
    label_maps.overlay(image, classes, LABELS)
    assert (image == 200).all()
    assert np.array_equal(classes, np.eye(4))


def test_overlay_refuses_another_size():
    with pytest.raises(ValueError, match=r"image is \(4, 4, 3\), map is \(2, 2\)"):
        label_maps.overlay(np.zeros((4, 4, 3), np.uint8), np.zeros((2, 2), np.uint8), LABELS)


def test_errors_tell_border_mistakes_from_mistakes_inside():
    truth = np.zeros((60, 60), dtype=np.uint8)
    truth[:, 30:] = 1
    prediction = truth.copy()
    prediction[:, 30] = 0
    prediction[20:30, 5:15] = 1
    picture = label_maps.error_map(prediction, truth, LABELS)
    assert tuple(picture[50, 30]) == label_maps.NEAR_BORDER
    assert tuple(picture[25, 10]) == label_maps.WRONG
    assert tuple(picture[50, 10]) == label_maps.CORRECT
    wrong = (picture == label_maps.WRONG).all(2) | (picture == label_maps.NEAR_BORDER).all(2)
    assert np.array_equal(wrong, prediction != truth)


def test_errors_never_blame_where_there_is_no_truth_but_blame_a_missing_class():
    truth = np.array([[255] * 20 + [0] * 20] * 20, dtype=np.uint8)
    picture = label_maps.error_map(np.full((20, 40), 255, dtype=np.uint8), truth, LABELS)
    assert picture[:, :20].max() < 110
    assert tuple(picture[10, 39]) == label_maps.WRONG


def test_errors_refuse_another_size():
    with pytest.raises(ValueError, match=r"ground truth is .*expected equal sizes"):
        label_maps.error_map(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8), LABELS)


def test_panels_put_pictures_of_any_size_into_one_grid():
    red = np.full((10, 20, 3), (255, 0, 0), dtype=np.uint8)
    blue = np.full((300, 300, 3), (0, 0, 255), dtype=np.uint8)
    sheet = label_maps.image_grid([[red, red], [blue]], ["image", "größe"], width=100)
    assert sheet.shape[1] == 2 * 100 + 6
    assert sheet.shape[0] == 30 + 6 + 50 + 6 + 100
    assert tuple(sheet[60, 50]) == tuple(sheet[60, 150]) == (255, 0, 0)
    assert tuple(sheet[150, 50]) == (0, 0, 255)
    assert tuple(sheet[150, 150]) == (255, 255, 255)
    assert (sheet[:30] < 128).any()


def test_panels_refuse_nothing_and_too_many_titles():
    with pytest.raises(ValueError, match="no images"):
        label_maps.image_grid([])
    with pytest.raises(ValueError, match="2 titles for 1 columns"):
        label_maps.image_grid([[np.zeros((4, 4, 3), np.uint8)]], ["a", "b"])


def test_a_data_uri_holds_the_picture_no_larger_than_asked():
    picture = np.zeros((100, 300, 3), dtype=np.uint8)
    picture[..., 0] = 200
    head, data = label_maps.data_uri(picture, 150).split(",")
    assert head == "data:image/jpeg;base64"
    back = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR_RGB)
    assert back.shape == (50, 150, 3)
    assert np.abs(back[25, 75].astype(int) - [200, 0, 0]).max() < 8
