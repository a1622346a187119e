"""The story through SQLAlchemy: tables made from models, the catalog read back by reflection."""

import os

from pgvector.sqlalchemy import Vector
from sqlalchemy import (
    BigInteger, Index, MetaData, Numeric, Text, create_engine, func, inspect, select, text,
)
from sqlalchemy.dialects.postgresql import ARRAY, insert
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column


class Base(DeclarativeBase):
    pass


class Item(Base):
    __tablename__ = "items"
    id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    name: Mapped[str] = mapped_column(Text, server_default="none")
    price: Mapped[float | None] = mapped_column(Numeric(10, 2))
    tags: Mapped[list[str] | None] = mapped_column(ARRAY(Text))
    embedding: Mapped[list[float] | None] = mapped_column(Vector(3))


INDEX = Index("items_embedding", Item.embedding, postgresql_using="hnsw",
              postgresql_ops={"embedding": "vector_l2_ops"})


def reflect(engine) -> None:
    inspector = inspect(engine)
    assert "items" in inspector.get_table_names()
    assert inspector.has_table("items") and not inspector.has_table("nowhere")
    assert "public" in inspector.get_schema_names()
    columns = {column["name"]: column for column in inspector.get_columns("items")}
    assert list(columns) == ["id", "name", "price", "tags", "embedding"], columns
    assert not columns["id"]["nullable"] and columns["price"]["nullable"]
    assert columns["name"]["default"] == "'none'::text", columns["name"]
    assert (columns["price"]["type"].precision, columns["price"]["type"].scale) == (10, 2)
    assert isinstance(columns["embedding"]["type"], Vector) and columns["embedding"]["type"].dim == 3, columns
    assert inspector.get_pk_constraint("items")["constrained_columns"] == ["id"]
    assert inspector.get_foreign_keys("items") == [] and inspector.get_unique_constraints("items") == []
    (index,) = inspector.get_indexes("items")
    assert index["name"] == "items_embedding" and index["column_names"] == ["embedding"], index
    assert index["dialect_options"]["postgresql_using"] == "hnsw", index
    metadata = MetaData()
    metadata.reflect(engine)
    assert [column.name for column in metadata.tables["items"].primary_key] == ["id"]


def main() -> None:
    at = os.environ
    url = f"postgresql+psycopg://{at['PGUSER']}@{at['PGHOST']}:{at['PGPORT']}/{at['PGDATABASE']}"
    engine = create_engine(url)
    with engine.begin() as connection:
        connection.execute(text("CREATE EXTENSION IF NOT EXISTS vector"))
    Base.metadata.drop_all(engine)
    Base.metadata.create_all(engine)
    reflect(engine)

    with Session(engine) as session:
        session.add_all([Item(id=i, name=f"n{i}", tags=["a", str(i)], embedding=[i, 0, 0]) for i in range(1, 101)])
        session.add(Item(id=200))
        session.commit()
        bare = session.get(Item, 200)
        assert (bare.name, bare.embedding) == ("none", None)
        near = session.scalars(select(Item.id).order_by(Item.embedding.l2_distance([50.2, 0, 0])).limit(3)).all()
        assert near == [50, 51, 49], near
        distance = Item.embedding.cosine_distance([0, 1, 0])
        assert session.scalars(select(distance).where(Item.id == 7)).one() == 1.0
        session.get(Item, 1).name = "changed"
        session.delete(session.get(Item, 2))
        session.commit()
        row = session.execute(select(func.count(), func.min(Item.id)).where(Item.id > 1)).one()
        assert tuple(row) == (99, 3), row
        upsert = insert(Item).values([{"id": 1, "name": "again"}, {"id": 300, "name": "new"}])
        upsert = upsert.on_conflict_do_update(index_elements=[Item.id], set_={"name": upsert.excluded.name})
        assert sorted(session.scalars(upsert.returning(Item.id)).all()) == [1, 300]
        session.rollback()
        assert session.get(Item, 300) is None and session.get(Item, 1).name == "changed"
    Base.metadata.drop_all(engine)
    assert not inspect(engine).has_table("items")
    print("ok")


main()
