//! The schema as clients read it.

use crate::namespaces::{
    attribute::AttributeType,
    shape::{Shape, metric_word},
};
use serde_json::{Map, Value, json};

/// The schema as clients read it.
pub(in crate::namespaces) fn shown(shape: &Shape) -> Map<String, Value> {
    let shown = shape.attributes.iter().map(|attribute| {
        let mut config = Map::new();
        config.insert("type".to_owned(), json!(attribute.kind.to_string()));
        let flags = shape.flags(&attribute.name);
        if attribute.kind.is_vector() {
            let ann = match &attribute.index {
                Some(index) => json!({ "distance_metric": metric_word(index.metric) }),
                None => json!(false),
            };
            config.insert("ann".to_owned(), ann);
        } else if attribute.kind == AttributeType::Sparse {
            let metric = json!({ "distance_metric": "dot_product" });
            config.insert("sparse_knn".to_owned(), metric);
        } else {
            config.insert("filterable".to_owned(), json!(flags.is_filterable()));
            for (name, is_on) in [("regex", flags.regex), ("glob", flags.glob)] {
                if is_on {
                    config.insert(name.to_owned(), json!(true));
                }
            }
        }
        if let Some(embedded) = shape.settings.embed.get(&attribute.name) {
            let embed = json!({ "model": embedded.model, "attribute": embedded.attribute });
            config.insert("embed".to_owned(), embed);
        }
        (attribute.name.clone(), Value::Object(config))
    });
    shown.collect()
}
