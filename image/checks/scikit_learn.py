"""Train a forest in parallel and score it on data it has not seen."""

import sklearn
from sklearn.datasets import make_classification
from sklearn.ensemble import RandomForestClassifier
from sklearn.model_selection import train_test_split

features, labels = make_classification(400, n_informative=5, class_sep=2.0, random_state=0)
train, test, train_labels, test_labels = train_test_split(features, labels, random_state=0)
model = RandomForestClassifier(30, n_jobs=2, random_state=0).fit(train, train_labels)
score = model.score(test, test_labels)
assert score > 0.85, score
print(f"scikit-learn {sklearn.__version__}: a forest that is right in {score:.0%} of new cases")
