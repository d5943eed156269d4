"""Instances: SOLO and FASSST, evaluated by COCO's average precision."""
