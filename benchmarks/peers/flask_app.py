"""Flask under Gunicorn, as their documentation and PyTorch's tutorial have it: a file of a form, one request at a time a process.

https://docs.pytorch.org/tutorials/recipes/deployment_with_flask.html, https://flask.palletsprojects.com/en/stable/deploying/gunicorn/
("a starting value could be CPU * 2" processes)
"""

from __future__ import annotations

from flask import Flask, Response, jsonify, request

from peers.classifier import Classifier

app = Flask(__name__)
classifier = Classifier()


@app.post("/predict")
def predict() -> Response:
    """The best classes."""
    return jsonify(classifier.classify([classifier.prepare(request.files["file"].read())])[0])
